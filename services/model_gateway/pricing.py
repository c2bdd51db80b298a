"""What calls cost, from genai-prices as it is installed: nothing is looked up anywhere."""

from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache

import genai_prices

from runtimes.types import ModelEndpoint, Usage


@dataclass(slots=True)
class Tokens:
    """Tokens of one call; `input` includes `cached` and `cache_written`, `output` includes `reasoning`.

    `cache_written_for_hour` are those of `cache_written` that stay for an hour, at a price of their own.
    """

    input: int = 0
    output: int = 0
    cached: int = 0
    cache_written: int = 0
    cache_written_for_hour: int = 0
    reasoning: int = 0

    @property
    def is_told(self) -> bool:
        """Whether anything is known of them: no call uses none."""
        return bool(self.input or self.output)


def usage(tokens: Tokens, endpoint: ModelEndpoint) -> Usage:
    """A call that used so many tokens, with its cost; None where the price is not known."""
    return _usage(tokens, cost_usd=_cost(tokens, endpoint))


def unknown_usage(told: Tokens, most: Tokens, endpoint: ModelEndpoint) -> Usage:
    """A call that began, and may have used anything between what it told and the most that it asked for."""
    most = replace(most, input=max(told.input, most.input), output=max(told.output, most.output))
    least_cost, most_cost = _cost(told, endpoint), _cost(most, endpoint)
    return _usage(
        told,
        cost_usd=None,
        known_cost_usd=least_cost or 0.0,
        reserved_tokens=most.input + most.output - told.input - told.output,
        reserved_cost_usd=None if most_cost is None else max(most_cost - (least_cost or 0.0), 0.0),
    )


def _usage(tokens: Tokens, **more: float | None) -> Usage:
    counted = {
        "input_tokens": tokens.input,
        "output_tokens": tokens.output,
        "cached_input_tokens": tokens.cached,
        "reasoning_tokens": tokens.reasoning,
    }
    return Usage.model_validate({**counted, "model_calls": 1, **more})


def is_priced(endpoint: ModelEndpoint) -> bool:
    """Whether what a model costs is known."""
    return _priced_provider(endpoint.provider, endpoint.base_url, endpoint.model) is not None


def _cost(tokens: Tokens, endpoint: ModelEndpoint) -> float | None:
    provider = _priced_provider(endpoint.provider, endpoint.base_url, endpoint.model)
    if provider is None or not tokens.is_told:
        return None
    counted = genai_prices.Usage(
        input_tokens=tokens.input,
        cache_read_tokens=tokens.cached,
        cache_write_tokens=tokens.cache_written,
        cache_write_1h_tokens=min(tokens.cache_written_for_hour, tokens.cache_written),
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
