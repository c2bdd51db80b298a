"""Whose tasks go first, on the workflow workers' queue as on the pools': by priority, then in turn by organization."""

from temporalio.common import Priority

from runtimes.turns import Admission


def priority_of(admission: Admission) -> Priority:
    """Of an admitted execution; the server's fairness has to be switched on for the organizations to count."""
    return Priority(priority_key=admission.priority, fairness_key=admission.organization_id)
