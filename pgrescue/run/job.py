"""What a runner does with one kind of plan."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from pgrescue.plan.sealed import SealedPlan
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

    @abstractmethod
    def after_abort(self) -> Failure | None:
        """Leave nothing half-done behind a run that was stopped on request."""

    @property
    @abstractmethod
    def ways_on(self) -> tuple[str, ...]:
        """What a person can do once a step has failed."""
