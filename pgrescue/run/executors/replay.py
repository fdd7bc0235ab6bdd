"""The end of recovery: whether it stands where the plan says, or has failed."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path

from pgrescue.errors import InvalidFormat, StepFailed, TargetNotReached
from pgrescue.plan.model import Stop, Work
from pgrescue.plan.work import has_stop_target
from pgrescue.postgres.data_directory import read_control_file
from pgrescue.postgres.history_file import parse_history_file
from pgrescue.postgres.lsn import Lsn
from pgrescue.postgres.probe import RecoveryStatus
from pgrescue.postgres.server_log import RecoveryLog
from pgrescue.run.execution import RestoreExecution
from pgrescue.run.executors.arrival import arrival, falls_short, is_foretold, surprise
from pgrescue.run.executors.recovery_watch import Watch
from pgrescue.run.explained import server_failed
from pgrescue.run.records import Reached
from pgrescue.run.shortfall import deletes_old_data

_POLL_SECONDS = 0.3
_GRACE_SECONDS = 5.0
"""A server that is going down is given this long to write why."""


def replay(execution: RestoreExecution) -> str:
    """Watch until recovery has ended as planned; raises `TargetNotReached` or `StepFailed`."""
    watch = Watch(execution)
    while True:
        for running in execution.background:
            running.poll()
        postmaster = watch.postmaster()
        if postmaster is None:
            return _after_the_end(execution, watch)
        status = watch.status(postmaster)
        watch.report(postmaster, status)
        if status is not None and status.paused and watch.log.stop is None and watch.log.too_low:
            raise _paused_half_way(execution, watch.log)
        if status is not None and _is_there(execution, watch, status):
            return _arrived(execution, watch, status)
        execution.wait(_POLL_SECONDS)


def _is_there(execution: RestoreExecution, watch: Watch, status: RecoveryStatus) -> bool:
    work = execution.work
    if not status.in_recovery:
        return True
    if work.signal_file == "standby.signal" and not has_stop_target(work):
        if execution.plan.stop.replayed_to is None:
            return True
        if _has_caught_up(execution.plan.stop, status):
            return watch.has_settled()
        return watch.stands_still(status)
    return status.paused and work.at_the_end == "pause"


def _has_caught_up(stop: Stop, status: RecoveryStatus) -> bool:
    """Whether a standby, which is open long before, has replayed what the plan saw."""
    if stop.replayed_to is None or status.replayed is None:
        return False
    return status.replayed >= stop.replayed_to or is_foretold(stop, status.replayed)


def _arrived(execution: RestoreExecution, watch: Watch, status: RecoveryStatus) -> str:
    work, log = execution.work, watch.log
    # Since 13 a server that does not meet its target goes down instead of opening.
    may_have_missed = work.major <= 12 and has_stop_target(work) and log.stop is None
    if may_have_missed and not status.in_recovery and not execution.accepts_less:
        _journal_reached(execution, status.replayed, status.last_commit, log, status.timeline)
        raise TargetNotReached(
            "Recovery ended before its target, and the server opened for writing.",
            "The log has no line that says where recovery stopped.",
            next_steps=(
                f"pgrescue undo {execution.directory.id}",
                "choose a target that the WAL reaches: pgrescue plan",
            ),
        )
    timeline = status.timeline or log.new_timeline or execution.plan.stop.timeline
    # The end of an archive recovery chooses a new timeline; that of a crash recovery does not.
    was_open = not status.in_recovery and log.new_timeline is None
    lsn, moment = status.replayed, status.last_commit
    if not status.in_recovery:
        _check_it_is_on_its_new_timeline(execution, watch.chosen_timeline, status)
    if watch.had_ended:
        lsn, moment = _left_at(work, log), log.last_commit_time
    had_ended = was_open or watch.had_ended
    _journal_reached(execution, lsn, moment, log, timeline, had_ended=had_ended)
    _check_it_is_all(execution)
    if work.at_the_end == "pause" and not status.in_recovery:
        execution.note(
            "The server did not pause at the target but opened for writing: it was not ready for "
            "read-only queries when it got there."
        )
    where = f"at {status.replayed}" if status.replayed else ""
    return " ".join(part for part in (log.stop or "recovery has ended", where) if part)


def _check_it_is_all(execution: RestoreExecution) -> None:
    """Raise `TargetNotReached` if commits that the plan saw are missing, until that is accepted."""
    reached, stop = execution.state().reached, execution.plan.stop
    if execution.accepts_less or reached is None or not falls_short(stop, reached):
        return
    run, deletes = execution.directory.id, deletes_old_data(execution.plan)
    option = f" --confirm {execution.plan.identity}" if deletes else ""
    also = ", and deletes the old data" if deletes else ""
    raise TargetNotReached(
        "Recovery ended before the end of the WAL that the plan saw.",
        f"It went up to {reached.lsn}; the plan saw WAL up to {stop.replayed_to}. What the archive "
        "had then, or what was rescued, it did not get.",
        next_steps=(
            "see what is missing: pgrescue timeline",
            f"pgrescue undo {run}",
            f"pgrescue resume {run}{option}   accepts what was reached{also}",
        ),
    )


def _check_it_is_on_its_new_timeline(
    execution: RestoreExecution, wanted: int, status: RecoveryStatus
) -> None:
    """Raise `StepFailed` for a server that was killed between choosing a timeline and being on it.

    PostgreSQL removes its signal files before it writes the record that begins the new timeline
    (`StartupXLOG`): killed there, it opens on the old one, where others' WAL goes on already.
    """
    found = status.timeline
    if found is None or found >= wanted:
        return
    raise StepFailed(
        f"The server has opened on timeline {found}, not on its new one, {wanted}.",
        "It was killed in the moment in which it ended its recovery. Its data is what was wanted, "
        f"but what it writes from now on would be a second history of timeline {found}.",
        next_steps=(
            f"pgrescue undo {execution.directory.id}",
            "then restore again, with a new plan",
        ),
    )


def _left_at(work: Work, log: RecoveryLog) -> Lsn | None:
    """Where the recovery that has ended left the WAL it came along, by the new timeline's history.

    "redo done at" in the log is the beginning of the last record, not its end.
    """
    if log.new_timeline is None:
        return log.redo_done
    path = Path(work.data_directory, "pg_wal", f"{log.new_timeline:08X}.history")
    try:
        history = parse_history_file(log.new_timeline, path.read_text(errors="replace"))
    except (OSError, InvalidFormat):
        return log.redo_done
    return history.ancestors[-1].switch_lsn if history.ancestors else log.redo_done


def _journal_reached(
    execution: RestoreExecution,
    lsn: Lsn | None,
    moment: datetime | None,
    log: RecoveryLog,
    timeline: int | None,
    *,
    had_ended: bool = False,
) -> None:
    """Write down where recovery has ended; `had_ended`: it had before the server's last start."""
    known = execution.state().reached
    has_forgotten = lsn is None and log.redo_done is None
    if known is not None and known.lsn is not None and (has_forgotten or had_ended):
        return  # recovery had ended before: what the server says now is about another start
    moment = moment or log.last_commit_time
    stop, xid = execution.plan.stop, log.stopped_after_xid
    if lsn is None:
        point = Reached(lsn=log.redo_done, time=moment, xid=xid, timeline=timeline)
    else:
        point = arrival(stop, lsn, moment, xid, timeline)
        unexpected = surprise(stop, lsn, was_running=execution.work.was_running)
        if unexpected is not None:
            execution.note(unexpected)
    execution.journal.append(point)


def _paused_half_way(execution: RestoreExecution, log: RecoveryLog) -> StepFailed:
    """Recovery waits at a place that is not the target, and would go down if told to go on."""
    return StepFailed(
        "Recovery has paused before its target: a setting is too low for the WAL that follows.",
        "; ".join(log.too_low),
        next_steps=(
            "stop the server, raise the setting that is named there in postgresql.auto.conf, then: "
            f"pgrescue resume {execution.directory.id}",
            f"pgrescue undo {execution.directory.id}",
        ),
    )


def _after_the_end(execution: RestoreExecution, watch: Watch) -> str:
    """The server is down: as planned (action shutdown), or because recovery failed."""
    work = execution.work
    deadline = time.monotonic() + _GRACE_SECONDS
    while not (watch.log.failures or watch.log.shut_down_at_target):
        if time.monotonic() > deadline:
            break
        execution.wait(_POLL_SECONDS)
    log = watch.log
    control, _ = read_control_file(Path(work.data_directory))
    planned = work.at_the_end == "shutdown"
    if planned and (log.shut_down_at_target or (control and _is_down(control.state))):
        timeline = execution.plan.stop.timeline
        _journal_reached(
            execution, control.min_recovery_lsn if control else None, None, log, timeline
        )
        return log.stop or "shut down at the target"
    raise server_failed(execution, "The server went down during recovery.")


def _is_down(state: str) -> bool:
    return state == "shut down in recovery"
