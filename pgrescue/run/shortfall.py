"""Going on after a recovery that ended early: what is missing then stays missing."""

from __future__ import annotations

from pgrescue.errors import ExitCode
from pgrescue.plan.model import Plan
from pgrescue.plan.sealed import SealedPlan
from pgrescue.run.state import RunState


def ended_early(state: RunState) -> bool:
    """Whether a run has failed because recovery ended, and had not got as far as it should.

    Whoever resumes it accepts what was reached. A server that went down has reached nothing.
    """
    missed = state.error is not None and state.error.exit_code == ExitCode.TARGET_NOT_REACHED
    return missed and state.reached is not None


def deletes_old_data(plan: SealedPlan) -> bool:
    """Whether going on to the end of a restore deletes what it has set aside."""
    return isinstance(plan, Plan) and plan.work.old_data == "delete" and bool(plan.work.moves)
