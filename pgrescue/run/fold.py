"""A run's journal, folded into its state: what each record means."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from pgrescue.plan.model import Plan
from pgrescue.plan.sealed import SealedPlan
from pgrescue.run import records
from pgrescue.run.identity import Identity
from pgrescue.run.records import AnyRecord
from pgrescue.run.state import (
    Meter,
    ReachedPoint,
    Runner,
    RunState,
    SetAside,
    StepState,
    StepStatus,
    TakenBackup,
)


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
            begun = state.begun_steps | {record.step}
            return replace(state, step=record.step, steps=steps, progress=None, begun_steps=begun)
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
                server_started_at=record.at,
                recovery_position=record.position if first is None else first,
                collected_sizes=record.collected,
                first_collected_sizes=(
                    record.collected if first is None else state.first_collected_sizes
                ),
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
