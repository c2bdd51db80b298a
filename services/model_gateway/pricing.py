"""What calls cost, from genai-prices as it is installed: nothing is looked up anywhere."""

from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache

import genai_prices

from runtimes.types import ModelEndpoint, Usage


@dataclass(slots=True)
class Tokens:
    """Tokens of one call; `input` includes `cached` and `cache_written`, `output` includes `reasoning`."""

    input: int = 0
    output: int = 0
    cached: int = 0
    cache_written: int = 0
    reasoning: int = 0


def usage(tokens: Tokens, endpoint: ModelEndpoint, *, calls: int = 1, is_answered: bool = False) -> Usage:
    """The tokens with their cost; None where the price is not known, or an answer does not say what it used."""
    return Usage(
        input_tokens=tokens.input,
        output_tokens=tokens.output,
        cached_input_tokens=tokens.cached,
        reasoning_tokens=tokens.reasoning,
        model_calls=calls,
        cost_usd=_cost(tokens, endpoint) if is_answered or tokens.input or tokens.output else 0.0,
    )


def is_priced(endpoint: ModelEndpoint) -> bool:
    """Whether what a model costs is known."""
    return _priced_provider(endpoint.provider, endpoint.base_url, endpoint.model) is not None


def _cost(tokens: Tokens, endpoint: ModelEndpoint) -> float | None:
    provider = _priced_provider(endpoint.provider, endpoint.base_url, endpoint.model)
    if provider is None or not (tokens.input or tokens.output):
        return None
    counted = genai_prices.Usage(
        input_tokens=tokens.input,
        cache_read_tokens=tokens.cached,
        cache_write_tokens=tokens.cache_written,
        output_tokens=tokens.output,
    )
    price = genai_prices.calc_price(counted, endpoint.model, provider_id=provider)
    return round(float(price.total_price), 10)


@lru_cache(maxsize=1000)
def _priced_provider(provider: str, base_url: str, model: str) -> str | None:
    """Whose price a model has: looking in vain takes a millisecond."""
    usage = genai_prices.Usage(input_tokens=1)
    with suppress(LookupError):
        return genai_prices.calc_price(usage, model, provider_id=provider).provider.id
    with suppress(LookupError):
        return genai_prices.calc_price(usage, model, provider_api_url=base_url).provider.id
    return None
