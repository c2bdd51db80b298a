"""Where models are served: from an agent's `model_id` to an endpoint."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from ipaddress import ip_address
from urllib.parse import urlsplit

from runtimes.errors import CredentialMissing, ModelUnknown
from runtimes.types import ModelEndpoint, Wire
from services.control_plane_client.models import ProviderAnnouncement
from services.dialects import Dialect

#: Whose models are known by their names alone.
_PREFIXES = (
    (re.compile(r"(gpt-|chatgpt-|o[134](-|$))"), "openai"),
    (re.compile(r"claude-"), "anthropic"),
)
#: Providers that one variable configures: their key.
HOSTED = frozenset(owner for _, owner in _PREFIXES)
#: What SDKs are given where no key is needed; they insist on one.
NO_KEY = "none"


@dataclass(frozen=True, slots=True)
class Provider:
    """A model provider; `models` empty means that it takes any name. `dialect` is what the operator says of it."""

    name: str
    base_url: str
    api_key: str | None = field(default=None, repr=False)
    wire: Wire = Wire.OPENAI
    models: tuple[str, ...] = ()
    dialect: Dialect = field(default_factory=Dialect)

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
        if self.name in HOSTED:
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
        name, _, model = model_id.partition("/")
        if model and name in self._providers:
            return self._named(self._providers[name], model)
        owner = _owner(model_id)
        provider = self._providers.get(owner) or self._by_list(model_id)
        if provider is not None:
            return provider.endpoint(model_id)
        raise _not_configured(model_id, owner) if owner else self._unknown(model_id)

    def dialect(self, name: str) -> Dialect:
        """Give the parts of a provider's dialect that are set."""
        provider = self._providers.get(name)
        return provider.dialect if provider is not None else Dialect()

    def announce(self) -> dict[str, ProviderAnnouncement]:
        """The providers by name, as the control plane may know them."""
        return {
            name: ProviderAnnouncement(ready=provider.is_ready, models=list(provider.models))
            for name, provider in sorted(self._providers.items())
        }

    def _named(self, provider: Provider, model: str) -> ModelEndpoint:
        if provider.models and model not in provider.models:
            raise self._unknown(f"{provider.name}/{model}")
        return provider.endpoint(model)

    def _by_list(self, model_id: str) -> Provider | None:
        return next((provider for provider in self._providers.values() if model_id in provider.models), None)

    def _unknown(self, model_id: str) -> ModelUnknown:
        close = self._guess(model_id)
        guess = f" Did you mean '{close}'?" if close else ""
        known = f"Known providers: {', '.join(sorted(self._providers))}." if self._providers else "None is configured."
        return ModelUnknown(f"No provider serves the model '{model_id[:80]}'.{guess} {known}", hint=self._way(model_id))

    def _guess(self, model_id: str) -> str:
        """A listed model of a similar name, or the same model at a provider of a similar name."""
        if close := get_close_matches(model_id, self._listed(), n=1):
            return close[0]
        name, _, model = model_id.partition("/")
        open_ended = [provider.name for provider in self._providers.values() if not provider.models]
        near = get_close_matches(name, open_ended, n=1) if model else []
        return f"{near[0]}/{model}" if near else ""

    def _listed(self) -> list[str]:
        """Every model that is listed somewhere, with its provider and without."""
        pairs = [(provider.name, model) for provider in self._providers.values() for model in provider.models]
        return [*(f"{name}/{model}" for name, model in pairs), *(model for _, model in pairs)]

    def _way(self, model_id: str) -> str:
        """What to do, where more is to be said than that a provider has to be named."""
        name, _, model = model_id.partition("/")
        if not model:
            return ""
        if name in self._providers:
            return f"Provider '{name}' has these models: {', '.join(self._providers[name].models)}."
        return "Name a known provider, or configure this one on the worker: HOLDFAST_PROVIDERS__NAME__BASE_URL."


def _owner(model_id: str) -> str:
    """The hosted provider that a model belongs to, by its own words or by its name; empty if it is none of theirs."""
    name, _, model = model_id.partition("/")
    if model and name in HOSTED:
        return name
    return next((owner for pattern, owner in _PREFIXES if pattern.match(model_id)), "")


def _not_configured(model_id: str, owner: str) -> CredentialMissing:
    return CredentialMissing(
        f"Model '{model_id[:80]}' belongs to provider '{owner}', which is not configured.",
        hint=f"Set {owner.upper()}_API_KEY on the worker.",
    )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
