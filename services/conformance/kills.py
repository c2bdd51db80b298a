"""A turn that is run again from wherever its worker may have been killed."""

from services.conformance.bench import Bench, Case, Taken, done
from services.conformance.scenario import expect, expect_answer, expect_that
from services.control_plane_client.models import StepKind, StepStatus


async def killed_after_every_write(bench: Bench, case: Case, response: str, *, reworded: bool = False) -> Taken:
    """Run a turn, and again from each journal that a killed worker may leave; no completed call is made twice.

    A model that words itself anew may add to its last words. Give idempotent tools, so that none is of unknown outcome.

    Raises:
        Mismatch: an answer is another one, or a call was paid that the journal had.
    """
    first = await bench.run(case)
    expect_answer(first, response)
    for number, journal in enumerate(first.record.states, start=1):
        known = {step.ordinal for step in journal.steps.values() if step.status is StepStatus.DONE}
        again = await bench.again(first, journal)
        said = again.response[: len(response)] if reworded and again.failure is None else None
        expect_that(said in {None, response}, f"the answer after write {number}: {again.response}")
        if said is None:
            expect_answer(again, response)
        missing = [step for step in done(first, StepKind.MODEL_CALL) if step.ordinal not in known]
        expect(f"model calls after write {number}", len(again.calls), len(missing))
        expect(f"rounds asked twice after write {number}", _asked_twice(again), [])
    return first


def _asked_twice(taken: Taken) -> list[int]:
    rounds = [call.round for call in taken.calls]
    return sorted({each for each in rounds if rounds.count(each) > 1})
