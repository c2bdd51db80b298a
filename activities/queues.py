"""Task queue names."""

#: Workflows and the light bookkeeping activities.
WORKFLOW_QUEUE = "holdfast"


def pool_queue(pool: str) -> str:
    """The queue that the workers of a pool serve; `execute_agent_llm` runs only there."""
    return f"{WORKFLOW_QUEUE}.{pool}"


def pool_of(queue: str) -> str:
    """The pool whose workers serve a queue; empty where there is no queue."""
    return queue.removeprefix(f"{WORKFLOW_QUEUE}.")
