"""The state of a run: a fold over its journal. Nothing else remembers anything about a run."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from pgrescue.plan.model import Plan
from pgrescue.plan.sealed import SealedPlan
from pgrescue.postgres.lsn import Lsn
from pgrescue.run import records
from pgrescue.run.identity import Identity
from pgrescue.run.records import AnyRecord, Failure, Purpose

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
    recovery_position: int | None = None
    """The same of its first start, which has begun the recovery."""
    boot_id: str = ""
    """The boot in which the last runner has worked; `tools` are of that one."""
    replaces: bool = True
    """Whether there was anything in the place of the new data, which is set aside."""
    told_before: int = 0
    """How many of the notes are of an earlier purpose, such as of the restore before an undo."""
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
        """Whether a step has at least been begun."""
        return any(step.id == step_id and step.state != "pending" for step in self.steps)

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


def fold(plan: SealedPlan, journal: Iterable[AnyRecord]) -> RunState:
    """The state after these records."""
    state = RunState(
        run="",
        plan=plan.id,
        host=plan.host,
        cluster=plan.cluster,
        data_directory=plan.place,
        operator=plan.operator,
        owner=plan.operator,
        created_at=None,
        state="interrupted",
        purpose="restore",
        step=None,
        steps=tuple(StepStatus(step.id, step.title, "pending", None, None) for step in plan.steps),
        progress=None,
        reached=None,
        error=None,
        runner=None,
        kind=plan.kind,
        replaces=not isinstance(plan, Plan) or plan.work.replaces,
    )
    for record in journal:
        state = fold_one(state, record)
    return state


def fold_one(state: RunState, record: AnyRecord) -> RunState:
    """The state after one more record."""
    return replace(_after(state, record), updated_at=record.at)


def _after(state: RunState, record: AnyRecord) -> RunState:
    match record:
        case records.Created():
            who = record.operator
            return replace(state, run=record.run, operator=who, owner=who, created_at=record.at)
        case records.Started():
            runner = Runner(record.pid, record.process_start, record.boot_id)
            goes_on = state.state == "waiting" and record.purpose == state.purpose
            return replace(
                state,
                state="running",
                past_pause=state.past_pause or goes_on,
                boot_id=record.boot_id,
                tools=state.tools if record.boot_id == state.boot_id else (),
                purpose=record.purpose,
                runner=runner,
                error=None,
                abort_requested=False,
                started=True,
                told_before=(
                    state.told_before if record.purpose == state.purpose else len(state.notes)
                ),
            )
        case records.Finished():
            return replace(
                state,
                state=record.state,
                past_pause=state.past_pause and record.state not in ("waiting", "aborted"),
                error=record.error,
                progress=None,
                runner=None,
                steps=_settle(state.steps, failed=record.state == "failed"),
            )
        case records.AbortRequested():
            return replace(state, abort_requested=True)
        case records.TakenOver():
            told = f"{record.operator} took the run over from {record.before}."
            return replace(state, owner=record.operator, notes=(*state.notes, told))
        case records.Note():
            return replace(state, notes=(*state.notes, record.message))
        case records.Entered():
            taken = TakenBackup(record.backup, record.path, record.size_bytes, record.verified)
            return replace(state, backup=taken)
        case records.Reached():
            point = ReachedPoint(record.lsn, record.time, record.xid, record.timeline)
            return replace(state, reached=point)
        case _:
            return _after_action(state, record)


def _after_action(state: RunState, record: AnyRecord) -> RunState:
    match record:
        case records.StepBegan():
            steps = _with_step(state.steps, record.step, record.title, "running", None, None)
            return replace(state, step=record.step, steps=steps, progress=None)
        case records.StepEnded():
            steps = _with_step(state.steps, record.step, "", "done", record.seconds, record.result)
            return replace(state, steps=steps, progress=None)
        case records.Progress():
            meter = Meter(
                record.done_bytes,
                record.total_bytes,
                record.rate,
                record.eta_seconds,
                record.detail,
                record.lsn,
                record.time,
                record.at,
                record.disk_bytes,
                record.wal_bytes,
            )
            return replace(state, progress=meter)
        case records.CommandBegan():
            return replace(state, tools=(*state.tools, record))
        case records.CommandEnded():
            left = tuple(tool for tool in state.tools if tool.pid != record.pid)
            return replace(state, tools=left)
        case records.ServerStarting():
            first = state.recovery_position
            return replace(
                state,
                log_position=record.position,
                recovery_position=record.position if first is None else first,
            )
        case _:
            return _after_file_change(state, record)


def _after_file_change(state: RunState, record: AnyRecord) -> RunState:
    match record:
        case records.MakingSlot():
            return replace(state, slots=tuple(dict.fromkeys((*state.slots, record.slot))))
        case records.DroppedSlot():
            left = tuple(slot for slot in state.slots if slot != record.slot)
            return replace(state, slots=left)
        case records.MakingDirectory():
            return replace(state, made=tuple(dict.fromkeys((*state.made, record.path))))
        case records.Moving():
            new = SetAside(record.path, record.aside, record.contents_only, False)
            others = tuple(item for item in state.asides if item.aside != record.aside)
            return replace(
                state,
                asides=(*others, new),
                identities=_known(state, record.aside, record.device, record.inode),
            )
        case records.Moved():
            return replace(
                state,
                asides=tuple(
                    replace(item, done=True) if item.aside == record.aside else item
                    for item in state.asides
                ),
                identities=_known(state, record.aside, record.device, record.inode),
            )
        case records.MovedBack():
            kept = tuple(item for item in state.asides if item.aside != record.aside)
            return replace(state, asides=kept)
        case records.MadeDirectory():
            identities = _known(state, record.path, record.device, record.inode)
            return replace(state, identities=identities)
        case records.Retired():
            return replace(
                state,
                made=tuple(path for path in state.made if path != record.path),
                retired_whole=(*state.retired_whole, record.retired),
                identities=_known(state, record.retired, record.device, record.inode),
            )
        case records.Retiring():
            return replace(state, retired=tuple(dict.fromkeys((*state.retired, record.retired))))
        case records.Deleting():
            return replace(state, deletion_begun=True)
        case records.Deleted():
            return replace(
                state,
                asides=tuple(item for item in state.asides if item.aside != record.path),
                made=tuple(path for path in state.made if path != record.path),
                retired=tuple(path for path in state.retired if path != record.path),
            )
        case _:
            return state


def _known(
    state: RunState, path: str, device: int | None, inode: int | None
) -> tuple[Identity, ...]:
    """The identities with this one; journals of older versions do not tell all of them."""
    if device is None or inode is None:
        return state.identities
    others = tuple(known for known in state.identities if known.path != path)
    return (*others, Identity(path, device, inode, state.boot_id))


def _with_step(
    steps: tuple[StepStatus, ...],
    step_id: str,
    title: str,
    step_state: StepState,
    seconds: float | None,
    result: str | None,
) -> tuple[StepStatus, ...]:
    """The steps with one changed; undo and discard add steps that no plan had."""
    if all(step.id != step_id for step in steps):
        return (*steps, StepStatus(step_id, title, step_state, seconds, result))
    return tuple(
        replace(step, state=step_state, seconds=seconds, result=result)
        if step.id == step_id
        else step
        for step in steps
    )


def _settle(steps: tuple[StepStatus, ...], *, failed: bool) -> tuple[StepStatus, ...]:
    """No step is running once its runner has ended."""
    after: StepState = "failed" if failed else "pending"
    return tuple(replace(step, state=after) if step.state == "running" else step for step in steps)
