"""What every plan is, whatever it does: steps for people, checks, facts, and a seal over it all."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal, TypeVar

from pgrescue.codec import SCHEMA, dumps, fingerprint, loads, to_plain
from pgrescue.errors import Refused
from pgrescue.findings import Finding
from pgrescue.postgres.account import Account

StepId = Literal[
    "stop",
    "rescue_wal",
    "set_aside",
    "extract",
    "combine",
    "place_wal",
    "configure",
    "complete",
    "start",
    "replay",
    "verify",
    "promote",
    "tidy",
    "delete_old",
    "receive",
    "own_configuration",
    "stream",
]

PlanKind = Literal["restore", "backup", "prune"]


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a plan, in words for people and commands for their hands."""

    id: str
    title: str
    why: str
    commands: tuple[str, ...]
    changes: str
    undo: str
    destructive: bool
    estimate: float | None
    """Seconds, where past speed allows a guess."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedPlan:
    """What dry runs print, the runner executes and reports retell. `id` is the hash of the rest."""

    id: str
    kind: PlanKind = "restore"
    created_at: datetime
    host: str
    operator: str
    cluster: str
    preflight: tuple[Finding, ...]
    steps: tuple[Step, ...]
    notify: str | None = None
    """The command that is told the result; a shell reads it."""
    seen: dict[str, str] = field(default_factory=dict)
    """The facts it rests on, compared again under the lock."""
    schema: int = SCHEMA

    @property
    def blockers(self) -> tuple[Finding, ...]:
        """What forbids running it."""
        return tuple(finding for finding in self.preflight if finding.status == "blocker")

    @property
    def identity(self) -> str:
        """HOST/CLUSTER: what is typed to confirm a plan that cannot be undone."""
        return f"{self.host}/{self.cluster}"

    @property
    @abstractmethod
    def place(self) -> str:
        """The directory that it works on: no two runs at a time do."""

    @property
    def places(self) -> tuple[str, ...]:
        """All directories that no other run may work on meanwhile."""
        return (self.place,)

    @property
    @abstractmethod
    def subject(self) -> str:
        """What it does, in a line."""

    @property
    @abstractmethod
    def owner(self) -> Account:
        """The account that its files and programs belong to."""

    @property
    @abstractmethod
    def directory_mode(self) -> int:
        """Permissions of the directories that it makes."""


P = TypeVar("P", bound=SealedPlan)


def seal(plan: P) -> P:
    """The plan with its id: equal content, equal id."""
    return replace(plan, id=_seal_of(plan))


def check_seal(plan: SealedPlan, *, exactly: object = None) -> None:
    """Raise `Refused` if the plan is not what was sealed.

    `exactly`: what it was read from, which must say the same and nothing else.
    """
    has_more = exactly is not None and exactly != loads(dumps(plan))
    if has_more or _seal_of(plan) != plan.id:
        raise Refused(
            f"The plan {plan.id} was altered after it was made.",
            "Its content does not match its id.",
            next_steps=("make a new plan with the same options (pgrescue plan, or --dry-run)",),
        )


def _seal_of(plan: SealedPlan) -> str:
    content = to_plain(plan)
    del content["id"]
    return fingerprint(content)[:12]
