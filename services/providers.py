"""Where models are served: from an agent's `model_id` to an endpoint."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from ipaddress import ip_address
from urllib.parse import urlsplit

from runtimes.errors import CredentialMissing, ModelUnknown
from runtimes.types import ModelEndpoint, Wire

#: Whose models are known by their names alone.
_PREFIXES = (
    (re.compile(r"(gpt-|chatgpt-|o[134](-|$))"), "openai"),
    (re.compile(r"claude-"), "anthropic"),
)
#: What SDKs are given where no key is needed; they insist on one.
NO_KEY = "none"


@dataclass(frozen=True, slots=True)
class Provider:
    """A model provider; `models` empty means that it takes any name."""

    name: str
    base_url: str
    api_key: str | None = field(default=None, repr=False)
    wire: Wire = Wire.OPENAI
    models: tuple[str, ...] = ()

    @property
    def needs_key(self) -> bool:
        """Providers on this machine need none."""
        return not _is_loopback(urlsplit(self.base_url).hostname or "")

    @property
    def is_ready(self) -> bool:
        """Whether it can be called."""
        return bool(self.api_key) or not self.needs_key

    def endpoint(self, model: str) -> ModelEndpoint:
        """Where one of its models is called.

        Raises:
            CredentialMissing: it needs a key and has none.
        """
        if not self.is_ready:
            raise CredentialMissing(f"Provider '{self.name}' has no API key.", hint=self._remedy())
        return ModelEndpoint(self.base_url, self.api_key or NO_KEY, self.wire, model, self.name)

    def _remedy(self) -> str:
        if self.name in ("openai", "anthropic"):
            return f"Set {self.name.upper()}_API_KEY on the worker."
        return f"Set HOLDFAST_PROVIDERS__{self.name.upper()}__API_KEY on the worker."


class ProviderRegistry:
    """The providers that a worker can reach."""

    def __init__(self, providers: Iterable[Provider]) -> None:
        self._providers = {provider.name: provider for provider in providers}

    def resolve(self, model_id: str) -> ModelEndpoint:
        """Where `provider/model`, or a model that one provider is known for, is called.

        Raises:
            ModelUnknown: no provider serves it; says which there are.
            CredentialMissing: its provider has no key.
        """
        name, slash, model = model_id.partition("/")
        if slash and model and name in self._providers:
            return self._named(self._providers[name], model)
        provider = self._by_prefix(model_id) or self._by_list(model_id)
        if provider is None:
            raise self._unknown(model_id)
        return provider.endpoint(model_id)

    def announce(self) -> dict[str, bool]:
        """The providers' names, with whether each can be called."""
        return {name: provider.is_ready for name, provider in sorted(self._providers.items())}

    def _named(self, provider: Provider, model: str) -> ModelEndpoint:
        if provider.models and model not in provider.models:
            raise self._unknown(f"{provider.name}/{model}")
        return provider.endpoint(model)

    def _by_prefix(self, model_id: str) -> Provider | None:
        owner = next((owner for pattern, owner in _PREFIXES if pattern.match(model_id)), "")
        provider = self._providers.get(owner)
        if owner and provider is None and self._by_list(model_id) is None:
            raise CredentialMissing(
                f"Model '{model_id[:80]}' belongs to provider '{owner}', which is not configured.",
                hint=f"Set {owner.upper()}_API_KEY on the worker.",
            )
        return provider

    def _by_list(self, model_id: str) -> Provider | None:
        return next((provider for provider in self._providers.values() if model_id in provider.models), None)

    def _unknown(self, model_id: str) -> ModelUnknown:
        close = get_close_matches(model_id, self._candidates(model_id), n=1)
        guess = f" Did you mean '{close[0]}'?" if close else ""
        known = f"Known providers: {', '.join(sorted(self._providers))}." if self._providers else "None is configured."
        return ModelUnknown(f"No provider serves the model '{model_id[:80]}'.{guess} {known}")

    def _candidates(self, model_id: str) -> list[str]:
        model = model_id.rpartition("/")[2]
        listed = [name for provider in self._providers.values() for name in provider.models]
        full = [f"{provider.name}/{name}" for provider in self._providers.values() for name in provider.models]
        open_ended = [f"{provider.name}/{model}" for provider in self._providers.values() if not provider.models]
        return [*full, *listed, *open_ended]


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
