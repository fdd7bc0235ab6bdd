"""A recovering server, looked at again and again: its answers, its log, its process titles."""

from __future__ import annotations

import re
import time
from pathlib import Path

import psycopg

from pgrescue.errors import StepFailed
from pgrescue.plan.work import log_of
from pgrescue.postgres.data_directory import collected_logs
from pgrescue.postgres.lsn import Lsn
from pgrescue.postgres.postmaster import (
    Postmaster,
    find_postmaster,
    parent_pid,
    process_title,
    server_processes,
)
from pgrescue.postgres.probe import Probe, RecoveryStatus, is_listening
from pgrescue.postgres.server_log import LogFollower, RecoveryLog, earlier_starts
from pgrescue.run.execution import RestoreExecution
from pgrescue.wal.segment import SegmentId

_TITLE = re.compile(r"startup\s+(recovering|waiting for)\s+([0-9A-F]{24})")
_REFUSED_SECONDS = 20.0
"""How long a server that says it is ready may refuse us before that is taken for final."""
_STILL_SECONDS = 30.0
"""A standby asks for missing WAL every five seconds (wal_retrieve_retry_interval): one that has
replayed nothing for so long has all that there is."""
_SETTLED_SECONDS = 2.0
"""One that has what the plan saw gets a moment more, for what the old server wrote at its stop."""


class Watch:
    """One look after another at a recovering server."""

    def __init__(self, execution: RestoreExecution) -> None:
        self._execution = execution
        self._data = Path(execution.work.data_directory)
        state, path = execution.state(), Path(log_of(execution.work))
        first, sizes = state.first_collected_sizes, state.collected_sizes or {}
        earlier = [
            earlier_starts(path, state.recovery_position or 0, state.log_position),
            *(
                earlier_starts(Path(file), first.get(file, 0), size)
                for file, size in sizes.items()
                if first is not None
            ),
        ]
        # Killed once it had opened, it does not recover again: how far it came was said before.
        before = next((part.ended for part in earlier if part.ended is not None), None)
        self.had_ended = before is not None
        """Whether an earlier start of this run's has ended the recovery."""
        self.chosen_timeline = max((part.new_timeline or 0 for part in earlier), default=0)
        """The timeline that an earlier start of this run's chose to end it with, or 0."""
        self._follower = LogFollower(path, state.log_position, before)
        self._collected: LogFollower | None = None
        self._collected_sizes = sizes
        self._segment = ""
        self._last_change = time.monotonic()
        self._silence_noted = False
        self._refused_since: float | None = None
        self._replayed: Lsn | None = None
        self._replayed_since = time.monotonic()
        self._caught_up_since: float | None = None

    @property
    def log(self) -> RecoveryLog:
        """What the server's log has said so far, wherever it writes it."""
        said = self._follower.poll()
        collected = collected_logs(self._data).get("stderr")
        if collected is None or Path(collected) == self._follower.path:
            return said
        if self._collected is None or self._collected.path != Path(collected):
            position = self._collected_sizes.get(collected, 0)
            self._collected = LogFollower(Path(collected), position, said)
        return self._collected.poll()

    def postmaster(self) -> Postmaster | None:
        """The server, while it lives."""
        return find_postmaster(self._data)

    def status(self, postmaster: Postmaster) -> RecoveryStatus | None:
        """What the server answers, or None while it lets nobody in."""
        work = self._execution.work
        if not is_listening(postmaster):
            return None
        try:
            status = Probe(postmaster, work.owner, work.conninfo).recovery(work.major)
        except psycopg.Error as error:
            self._refused(postmaster, error)
            return None
        self._refused_since = None
        return status

    def stands_still(self, status: RecoveryStatus) -> bool:
        """Whether replay has not moved for long; to be asked again and again."""
        now = time.monotonic()
        if status.replayed != self._replayed:
            self._replayed, self._replayed_since = status.replayed, now
        return now - self._replayed_since > _STILL_SECONDS

    def has_settled(self) -> bool:
        """Whether it is a moment since this was asked first; to be asked once it has caught up."""
        now = time.monotonic()
        self._caught_up_since = self._caught_up_since or now
        return now - self._caught_up_since > _SETTLED_SECONDS

    def _refused(self, postmaster: Postmaster, error: psycopg.Error) -> None:
        """Raise `StepFailed` if a server that is open keeps refusing us: waiting would not help."""
        now = time.monotonic()
        if postmaster.status != "ready":
            self._refused_since = None
            return
        if self._refused_since is None:
            self._refused_since = now
        if now - self._refused_since > _REFUSED_SECONDS:
            raise cannot_be_asked(self._execution, error)

    def report(self, postmaster: Postmaster, status: RecoveryStatus | None) -> None:
        """Show how far replay has come, from the server's answer or its process titles."""
        work = self._execution.work
        detail = self._title(postmaster.pid)
        position = status.replayed if status else None
        if position is None and self._segment:
            position = SegmentId.parse(self._segment, work.wal_segment_size).start(
                work.wal_segment_size
            )
        self._execution.progress(
            max((position or work.start_lsn) - work.start_lsn, 0),
            max(work.wal_end - work.start_lsn, 0) if work.wal_end is not None else None,
            detail,
            lsn=position,
            moment=status.last_commit if status else None,
        )
        self._note_silence()

    def _title(self, postmaster_pid: int) -> str:
        for pid in server_processes(self._data):
            match = _TITLE.search(process_title(pid)) if parent_pid(pid) == postmaster_pid else None
            if match is not None:
                if match[2] != self._segment:
                    self._segment, self._last_change = match[2], time.monotonic()
                return f"{match[1]} {match[2]}"
        return "starting"

    def _note_silence(self) -> None:
        silent = time.monotonic() - self._last_change
        if silent > self._execution.work.start_timeout and not self._silence_noted:
            self._silence_noted = True
            self._execution.note(
                f"No new WAL segment for {silent:.0f} seconds; recovery may be waiting for the "
                f"archive. The server's log: {log_of(self._execution.work)}"
            )


def cannot_be_asked(execution: RestoreExecution, error: psycopg.Error) -> StepFailed:
    """The error for a running server that lets nobody in who could look."""
    return StepFailed(
        "The restored server runs but could not be asked.",
        str(error).strip(),
        next_steps=(
            "check conninfo in the configuration and the cluster's pg_hba.conf",
            f"pgrescue resume {execution.directory.id}",
        ),
    )
