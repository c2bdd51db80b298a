"""What calls cost, from genai-prices as it is installed: nothing is looked up anywhere."""

from dataclasses import dataclass

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


def usage(tokens: Tokens, endpoint: ModelEndpoint, *, calls: int = 1) -> Usage:
    """The tokens with their cost; None where the model's price is not known."""
    return Usage(
        input_tokens=tokens.input,
        output_tokens=tokens.output,
        cached_input_tokens=tokens.cached,
        reasoning_tokens=tokens.reasoning,
        model_calls=calls,
        cost_usd=_cost(tokens, endpoint) if tokens.input or tokens.output else 0.0,
    )


def is_priced(endpoint: ModelEndpoint) -> bool:
    """Whether what a model costs is known."""
    return _cost(Tokens(input=1), endpoint) is not None


def _cost(tokens: Tokens, endpoint: ModelEndpoint) -> float | None:
    counted = genai_prices.Usage(
        input_tokens=tokens.input,
        cache_read_tokens=tokens.cached,
        cache_write_tokens=tokens.cache_written,
        output_tokens=tokens.output,
    )
    try:
        price = genai_prices.calc_price(counted, endpoint.model, provider_id=endpoint.provider)
    except LookupError:
        return _cost_by_url(counted, endpoint)
    return round(float(price.total_price), 10)


def _cost_by_url(counted: genai_prices.Usage, endpoint: ModelEndpoint) -> float | None:
    """For a known provider under a name of the user's own."""
    try:
        price = genai_prices.calc_price(counted, endpoint.model, provider_api_url=endpoint.base_url)
    except LookupError:
        return None
    return round(float(price.total_price), 10)
