"""The records of a run's journal: the only truth about what a run did.

Records are only ever added, so that journals of older versions keep folding.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from pgrescue.codec import SCHEMA
from pgrescue.postgres.lsn import Lsn

Purpose = Literal["restore", "undo", "discard", "backup", "prune"]
FinalState = Literal["waiting", "succeeded", "failed", "aborted", "undone", "interrupted"]


class Record(msgspec.Struct, frozen=True, tag_field="event", kw_only=True):
    """What all records share; the journal fills `seq` and `at`."""

    seq: int = 0
    at: datetime | None = None
    schema: int = SCHEMA


class Created(Record, frozen=True, tag="created"):
    """The run exists; nothing has been done."""

    run: str
    plan: str
    cluster: str
    data_directory: str
    host: str
    operator: str
    plan_digest: str = ""
    """SHA-256 of plan.json as it was written."""


class Started(Record, frozen=True, tag="started"):
    """A runner took over; several may follow each other in one run."""

    purpose: Purpose
    pid: int
    process_start: int
    boot_id: str
    operator: str = ""
    """Who had it started; empty in journals of older versions."""


class TakenOver(Record, frozen=True, tag="taken_over"):
    """Another operator has made the run their own, in order to act on it."""

    operator: str
    before: str


class StepBegan(Record, frozen=True, tag="step_began"):
    """About to do a step: on disk before anything is done."""

    step: str
    title: str


class CommandBegan(Record, frozen=True, tag="command_began"):
    """A program is about to run, as this process: it waits until this record is on disk."""

    step: str
    command: str
    """Passwords in it are hidden."""
    pid: int
    process_start: int | None
    only_asks: bool = False
    """Whether it asks others to do something, so that ending it would end nothing."""


class MadeDirectory(Record, frozen=True, tag="made_directory"):
    """That directory is there; its identity tells it from another that takes its place."""

    path: str
    device: int
    inode: int


class CommandEnded(Record, frozen=True, tag="command_ended"):
    """That program ended; output is in the run's tool.log."""

    step: str
    command: str
    exit_code: int
    seconds: float
    pid: int = 0


class MakingSlot(Record, frozen=True, tag="making_slot"):
    """About to make a replication slot at the server that is copied."""

    slot: str


class DroppedSlot(Record, frozen=True, tag="dropped_slot"):
    """That slot is gone again."""

    slot: str


class MakingDirectory(Record, frozen=True, tag="making_directory"):
    """About to create a directory of our own, which undo and discard may therefore remove."""

    path: str


class ServerStarting(Record, frozen=True, tag="server_starting"):
    """About to start the server; what it logs comes after `position` in `log`."""

    log: str
    position: int
    collected: dict[str, int] | None = None
    """The same for each file that a logging collector may go on with; None if nobody looked."""


class Moving(Record, frozen=True, tag="moving"):
    """About to rename `path` to `aside` (or what is in it, entry by entry)."""

    path: str
    aside: str
    contents_only: bool
    device: int | None = None
    inode: int | None = None
    """Of what is renamed: only the very same is ever deleted later."""


class Moved(Record, frozen=True, tag="moved"):
    """That rename is done and synced."""

    path: str
    aside: str
    device: int | None = None
    inode: int | None = None
    """Of what is at `aside` now."""


class MovedBack(Record, frozen=True, tag="moved_back"):
    """What was set aside at `aside` is at `path` again."""

    path: str
    aside: str


class Retiring(Record, frozen=True, tag="retiring"):
    """About to rename what this run had put at `path` to `retired`, to make room for the old."""

    path: str
    retired: str


class Retired(Record, frozen=True, tag="retired"):
    """That rename is complete, or there was nothing to rename: what comes to `path` now is old."""

    path: str
    retired: str
    device: int | None = None
    inode: int | None = None
    """Of what is at `retired` now."""


class Deleting(Record, frozen=True, tag="deleting"):
    """About to delete something for good that nothing forbids to delete: there is no way back."""

    path: str


class Deleted(Record, frozen=True, tag="deleted"):
    """Something that this run had set aside or made is gone for good."""

    path: str


class Progress(Record, frozen=True, tag="progress"):
    """How far a step is; not synced, at most one a second."""

    step: str
    done_bytes: int
    total_bytes: int | None
    rate: float | None
    eta_seconds: float | None
    detail: str
    lsn: Lsn | None = None
    time: datetime | None = None
    disk_bytes: int | None = None
    """What a backup takes on disk so far, its WAL included."""
    wal_bytes: int | None = None
    """Of that its WAL."""


class Reached(Record, frozen=True, tag="reached"):
    """Where recovery stands at its end."""

    lsn: Lsn | None
    time: datetime | None
    xid: int | None
    timeline: int | None


class Entered(Record, frozen=True, tag="entered"):
    """A backup is whole, on disk, and in the catalog."""

    backup: str
    path: str
    size_bytes: int
    verified: bool


class Note(Record, frozen=True, tag="note"):
    """Something a person should know."""

    step: str
    message: str


class StepEnded(Record, frozen=True, tag="step_ended"):
    """A step is done and what it did is on disk."""

    step: str
    seconds: float
    result: str


class AbortRequested(Record, frozen=True, tag="abort_requested"):
    """Somebody asked the run to stop at the next safe point."""


class Failure(msgspec.Struct, frozen=True):
    """Why a step failed, for people."""

    title: str
    cause: str
    evidence: str
    next: tuple[str, ...]
    exit_code: int


class Finished(Record, frozen=True, tag="finished"):
    """A runner came to an end."""

    state: FinalState
    error: Failure | None = None


AnyRecord = (
    Created
    | Started
    | TakenOver
    | StepBegan
    | CommandBegan
    | CommandEnded
    | MakingDirectory
    | MakingSlot
    | DroppedSlot
    | ServerStarting
    | Moving
    | Moved
    | MovedBack
    | Retiring
    | Retired
    | MadeDirectory
    | Deleting
    | Deleted
    | Progress
    | Reached
    | Entered
    | Note
    | StepEnded
    | AbortRequested
    | Finished
)

ANNOUNCEMENTS = (
    Created,
    Started,
    StepBegan,
    CommandBegan,
    MakingDirectory,
    MakingSlot,
    ServerStarting,
    Moving,
    Retiring,
    Deleting,
)
"""Records after which something is done; the others tell what has been done."""
