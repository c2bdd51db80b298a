"""Why a message ended, from the words of either wire."""

from runtimes.types import FinishReason

_FINISH = {
    "length": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "content_filter": FinishReason.CONTENT_FILTER,
    "refusal": FinishReason.CONTENT_FILTER,
}


def finish_of(word: str | None) -> FinishReason:
    """What a provider's word means; a stop where it says nothing else."""
    return _FINISH.get(word or "", FinishReason.STOP)
