"""Proof that an API is the one that a key is meant for."""

import hashlib
import hmac
import secrets

#: Where an API proves itself; it is asked without a key.
PATH = "/health/identity"
#: Seconds that it may take.
PROOF_SECONDS = 5.0


def new_nonce() -> str:
    """A question that was never asked before."""
    return secrets.token_hex(16)


def proof_of(secret: str, nonce: str, port: int) -> str:
    """The answer of an API that knows the secret and listens at the port.

    The port is a part of it, so that nobody can pass on the answer of the true API at another port.
    """
    return hmac.new(secret.encode(), f"holdfast-api:{port}:{nonce}".encode(), hashlib.sha256).hexdigest()


def is_proof(given: str, secret: str, nonce: str, port: int | None) -> bool:
    """Whether an answer is the right one."""
    return hmac.compare_digest(given.strip().encode(), proof_of(secret, nonce, port or 0).encode())


def not_ours(api_url: str) -> str:
    """A sentence about an API that did not prove itself."""
    return f"Another program answers at {api_url}: it cannot prove that it is our API, so it gets no key."
