"""What a runner does with one kind of plan."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from typing import Generic, TypeVar

from pgrescue.errors import Refused
from pgrescue.plan.sealed import SealedPlan, check_seal
from pgrescue.run.execution import Execution
from pgrescue.run.records import Failure, FinalState, Purpose
from pgrescue.run.state import RunState

E = TypeVar("E", bound=Execution[SealedPlan], covariant=True)


class Job(ABC, Generic[E]):
    """One kind of work, for whatever purpose a runner was started."""

    def __init__(self, execution: E) -> None:
        self.execution = execution

    @abstractmethod
    def work(self, purpose: Purpose, before: RunState) -> FinalState:
        """Do it; `before` is the run's state when this runner took over."""

    def open_plan(self, changed: Callable[[], list[str]], *, untold: Collection[str] = ()) -> None:
        """The first thing a run does: the plan must be what was sealed, and still fit the facts.

        `changed` says what does not; `untold` are codes of warnings that the run itself will
        settle. Raises `Refused`.
        """
        plan = self.execution.plan
        check_seal(plan)
        check_facts(changed())
        for finding in plan.preflight:
            if finding.status == "warning" and finding.code not in untold:
                self.execution.note(f"Known before the start: {finding.message}")

    @abstractmethod
    def after_abort(self) -> Failure | None:
        """Leave nothing half-done behind a run that was stopped on request."""

    def kept(self) -> str:
        """In words, where what was there before is while this work has failed; "" for nothing."""
        return ""

    @property
    @abstractmethod
    def ways_on(self) -> tuple[str, ...]:
        """What a person can do once a step has failed."""


def check_facts(changed: Sequence[str]) -> None:
    """Raise `Refused` if anything has changed that the plan rests on."""
    if changed:
        raise Refused(
            "The plan is out of date.",
            "Since it was made, this changed: " + "; ".join(changed),
            next_steps=("make a new plan with the same options and look at it again",),
        )
