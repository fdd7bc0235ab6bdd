"""The state of a run, as its journal tells it (see `fold`): all that anybody remembers of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from pgrescue.postgres.lsn import Lsn
from pgrescue.run import records
from pgrescue.run.identity import Identity
from pgrescue.run.records import Failure, Purpose

State = Literal["running", "waiting", "succeeded", "failed", "aborted", "undone", "interrupted"]
StepState = Literal["pending", "running", "done", "failed"]
ENDED: tuple[State, ...] = ("succeeded", "undone")


@dataclass(frozen=True, slots=True)
class StepStatus:
    """One step of the plan and how it went."""

    id: str
    title: str
    state: StepState
    seconds: float | None
    result: str | None


@dataclass(frozen=True, slots=True)
class Meter:
    """Progress of the running step."""

    done_bytes: int
    total_bytes: int | None
    rate: float | None
    eta_seconds: float | None
    detail: str
    lsn: Lsn | None
    time: datetime | None
    at: datetime | None
    disk_bytes: int | None = None
    wal_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class TakenBackup:
    """The backup that a run has taken."""

    id: str
    path: str
    size_bytes: int
    verified: bool


@dataclass(frozen=True, slots=True)
class ReachedPoint:
    """Where recovery ended: position, and the last kept transaction."""

    lsn: Lsn | None
    time: datetime | None
    xid: int | None
    timeline: int | None


@dataclass(frozen=True, slots=True)
class SetAside:
    """A rename that was begun; `done` says whether it is known to be complete."""

    path: str
    aside: str
    contents_only: bool
    done: bool


@dataclass(frozen=True, slots=True)
class Runner:
    """The process at work, told apart from others by its start time and the boot."""

    pid: int
    process_start: int
    boot_id: str


@dataclass(frozen=True, slots=True)
class RunState:
    """Everything known about a run."""

    run: str
    plan: str
    host: str
    """The machine that its plan was made for."""
    cluster: str
    data_directory: str
    operator: str
    """Who started it."""
    owner: str
    """Who started it or took it over last, and may act on it without more ado."""
    created_at: datetime | None
    state: State
    purpose: Purpose
    step: str | None
    steps: tuple[StepStatus, ...]
    progress: Meter | None
    reached: ReachedPoint | None
    error: Failure | None
    runner: Runner | None
    asides: tuple[SetAside, ...] = ()
    made: tuple[str, ...] = ()
    """Directories whose contents are this run's own."""
    retired: tuple[str, ...] = ()
    """Where an undo put what the run had restored."""
    notes: tuple[str, ...] = ()
    abort_requested: bool = False
    updated_at: datetime | None = None
    started: bool = False
    deletion_begun: bool = False
    """Whether anything that was set aside is, or may be, deleted: there is no way back."""
    identities: tuple[Identity, ...] = ()
    """Of what was made and set aside: what is there now may be another."""
    tools: tuple[records.CommandBegan, ...] = ()
    """Programs that were started and are not known to have ended."""
    retired_whole: tuple[str, ...] = ()
    """Those of `retired` whose rename is known to be complete."""
    backup: TakenBackup | None = None
    kind: str = "restore"
    """What the plan is of: "restore", "backup" or "prune"; the purpose changes with an undo."""
    slots: tuple[str, ...] = ()
    """Replication slots that were made, or were about to be, at the server that was copied."""
    log_position: int = 0
    """Where in the server's log its last start by this run begins."""
    server_started_at: datetime | None = None
    """When that was."""
    recovery_position: int | None = None
    """The same of its first start, which has begun the recovery."""
    collected_sizes: Mapping[str, int] | None = None
    """Where in each file of the logging collector that start begins; 0 in those that are new."""
    first_collected_sizes: Mapping[str, int] | None = None
    """The same of its first start."""
    boot_id: str = ""
    """The boot in which the last runner has worked; `tools` are of that one."""
    replaces: bool = True
    """Whether there was anything in the place of the new data, which is set aside."""
    told_before: int = 0
    """How many of the notes are of an earlier purpose, such as of the restore before an undo."""
    replaced_by: str = ""
    """A later run on the same place, for whoever has looked for one: `later_runs`."""
    begun_steps: frozenset[str] = frozenset()
    past_pause: bool = False
    """Whether somebody has told the run to go on past the pause at its target."""

    @property
    def set_aside(self) -> str | None:
        """Where the old data directory lies, if it is set aside."""
        for item in self.asides:
            if item.path == self.data_directory:
                return item.aside
        return self.asides[0].aside if self.asides else None

    @property
    def is_undone(self) -> bool:
        """Whether the old data is back, whatever became of what had been restored."""
        return self.state == "undone" or self.done("undo_move")

    @property
    def has_left_something(self) -> bool:
        """Whether something is set aside, or there is something that it has made."""
        return bool(self.asides or self.made)

    @property
    def notes_now(self) -> tuple[str, ...]:
        """What was noted while it was about what it is about now."""
        return self.notes[self.told_before :]

    def done(self, step_id: str) -> bool:
        """Whether a step has been completed."""
        return any(step.id == step_id and step.state == "done" for step in self.steps)

    def begun(self, step_id: str) -> bool:
        """Whether a step has ever been begun; one that was stopped on request is to be done anew,
        and yet may have left something."""
        return step_id in self.begun_steps

    @property
    def has_begun_to_fill(self) -> bool:
        """Whether new data has been written, once everything old was away."""
        return self.begun("extract") or self.begun("receive")

    def is_another(self, path: str) -> bool:
        """Whether what is at a path is known not to be what this run made or put there."""
        return self.is_known(path) and not self.has_come_from(path, path)

    def has_come_from(self, before: str, path: str) -> bool:
        """Whether what is at a path is what this run made or put at that, or at another one."""
        status = os.lstat(path)
        return any(known.path == before and known.is_of(status) for known in self.identities)

    def is_known(self, path: str) -> bool:
        """Whether the journal tells what this run made or put at a path."""
        return any(known.path == path for known in self.identities)

    def with_state(self, state: State) -> RunState:
        """The same run, seen from outside: a runner may be gone without a word."""
        return replace(self, state=state)
