"""Asks an API on this machine for the proof that it belongs to the local stack."""

import httpx

from services.control_plane_client.identity import PATH, PROOF_SECONDS, is_proof, new_nonce


def proves_itself(api_url: str, secret: str) -> bool:
    """Whether the API at a URL knows the stack's secret.

    Raises:
        httpx.TransportError: nobody answers there.
    """
    nonce, url = new_nonce(), httpx.URL(api_url)
    with httpx.Client(trust_env=False, timeout=PROOF_SECONDS) as client:
        return is_proof(client.get(url.join(PATH), params={"nonce": nonce}).text, secret, nonce, url.port)
