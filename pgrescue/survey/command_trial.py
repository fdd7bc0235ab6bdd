"""Trying a `restore_command` before it is trusted: as the server's account, in the server's way.

The server replaces %f, %p, %r and %% and has a shell run the line in its data directory, with a
path relative to that (`BuildRestoreCommand` in `src/common/archive.c`). Here a scratch directory
takes the place of the data directory.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from pgrescue.catalog.model import Backup
from pgrescue.config.model import ClusterConfig
from pgrescue.errors import Refused
from pgrescue.plan.command_trial import Answer, Attempt, Trial
from pgrescue.plan.fetch_wal import ExpectedWal
from pgrescue.postgres.account import Account
from pgrescue.survey.wal_tail import archived_by_status, look_at_tail
from pgrescue.wal.page import LONG_HEADER_SIZE, parse_segment_header
from pgrescue.wal.segment import DEFAULT_SEGMENT_SIZE, SegmentId

LIMIT_SECONDS = 30.0
"""How long one call may take; recovery itself would wait for ever."""
_SAID_BYTES = 300
_PLACE = "pg_wal/RECOVERYXLOG"
_PLACEHOLDER = re.compile(r"%([fpr%])")


def trial_of(
    cluster: ClusterConfig, owner: Account, backup: Backup, pg_wal: Path | None
) -> Trial | None:
    """A trial of the configured command; None if there is none, or we may not act for the owner.

    Raises `Refused` where there is no room for it.
    `pg_wal`: of the cluster that the backup is of, if it is still there.
    """
    if cluster.restore_command is None or not (owner.is_current or owner.must_switch):
        return None
    details = backup.details
    size = (details.wal_segment_size if details else None) or DEFAULT_SEGMENT_SIZE
    wal = ExpectedWal(size, backup.system_identifier, backup.major)
    names = files_to_ask_for(backup, size, pg_wal)
    try:
        return try_restore_command(cluster.restore_command, owner, wal, names)
    except OSError as error:
        raise Refused(
            "restore_command could not be tried.",
            f"It needs a directory for one WAL segment: {error}.",
            next_steps=(f"make room in {tempfile.gettempdir()}, or set TMPDIR to another place",),
        ) from error


def files_to_ask_for(backup: Backup, segment_size: int, pg_wal: Path | None) -> tuple[str, ...]:
    """Segments that must have been archived: the backup's first and its last one, and the last
    that the server says it has archived.

    What waits in `pg_wal` for its archiving need not be there.
    """
    if backup.start_lsn is None:
        return ()
    timeline = backup.timeline or 1
    found = [SegmentId.at(backup.start_lsn, timeline, segment_size)]
    if backup.stop_lsn is not None:
        found.append(SegmentId.before(backup.stop_lsn, timeline, segment_size))
    names = [segment.name(segment_size) for segment in found]
    if pg_wal is not None:
        done = archived_by_status(pg_wal)
        waiting = set(look_at_tail([pg_wal], None, backup.system_identifier).names) - set(done)
        names = [name for name in names if name not in waiting]
        names += [name for name in done[-1:] if name[8:] > max([n[8:] for n in names] or [""])]
    return tuple(dict.fromkeys(names))


def try_restore_command(
    command: str,
    owner: Account,
    wal: ExpectedWal,
    there: Sequence[str],
    limit: float = LIMIT_SECONDS,
    root: str | None = None,
) -> Trial:
    """Ask for files that must be there, and then for one that cannot be.

    After a call that hangs nothing more is asked. Changes nothing but a scratch directory below
    `root` (None: where temporary files go), which is removed.
    """
    scratch = Path(tempfile.mkdtemp(prefix="pgrescue-restore-command-", dir=root))
    try:
        (scratch / "pg_wal").mkdir()
        for place in (scratch, scratch / "pg_wal"):
            if owner.must_switch:
                os.chown(place, owner.uid, owner.gid)
        oldest = there[0] if there else _missing_name(1)
        attempts: list[Attempt] = []
        for name in there:
            attempts.append(_attempt(command, owner, wal, scratch, name, oldest, limit))
            if attempts[-1].answer == "hung":
                return Trial(command, owner.name, tuple(attempts), None)
        name = _missing_name(int(oldest[:8], 16))
        missing = _attempt(command, owner, wal, scratch, name, oldest, limit)
        return Trial(command, owner.name, tuple(attempts), missing)
    finally:
        shutil.rmtree(scratch)


def _missing_name(timeline: int) -> str:
    """A segment sixteen exabytes into the log."""
    return f"{timeline:08X}FFFFFFFF00000001"


def _attempt(
    command: str,
    owner: Account,
    wal: ExpectedWal,
    scratch: Path,
    name: str,
    oldest: str,
    limit: float,
) -> Attempt:
    place = scratch / _PLACE
    place.unlink(missing_ok=True)
    line = server_line(command, name, _PLACE, oldest)
    began = time.monotonic()
    code, said = _run(line, owner, scratch, limit)
    seconds = round(time.monotonic() - began, 1)
    answer, why = _answer(code, place, name, wal)
    return Attempt(name, answer, code, seconds, why or said)


def server_line(command: str, name: str, place: str, oldest: str) -> str:
    """The line that the server hands to the shell."""
    values = {"f": name, "p": place, "r": oldest, "%": "%"}
    return _PLACEHOLDER.sub(lambda found: values[found[1]], command)


def _run(line: str, owner: Account, scratch: Path, limit: float) -> tuple[int | None, str]:
    """Exit code as a shell would give it (None: it had to be ended), and the last of its words."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            ("/bin/sh", "-c", line),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=scratch,
            start_new_session=True,
            env=owner.environment(),
            **owner.spawn_arguments(),
        )
        try:
            code: int | None = process.wait(limit)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            # What it has left in the background must not write into the scratch directory, either.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        size = output.seek(0, os.SEEK_END)
        output.seek(max(size - _SAID_BYTES, 0))
        said = " ".join(output.read().decode(errors="replace").split())
    return (code if code is None or code >= 0 else 128 - code), said


def _answer(code: int | None, place: Path, name: str, wal: ExpectedWal) -> tuple[Answer, str]:
    """What the server would make of it; and what is wrong with the file."""
    if code is None:
        return "hung", ""
    if code > 125:
        return "failed", ""
    if code != 0:
        return "not_there", ""
    try:
        with place.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            header = file.read(LONG_HEADER_SIZE)
    except OSError:
        return "nothing", ""
    fault = _fault(header, size, name, wal)
    return ("wrong", fault) if fault else ("fetched", "")


def _fault(data: bytes, size: int, name: str, wal: ExpectedWal) -> str:
    """As `fault_of` in fetch-wal: why bytes are not the segment of that name; nothing if so."""
    if size != wal.segment_size:
        return f"has {size} bytes instead of {wal.segment_size}"
    header = parse_segment_header(data)
    if header is None or wal.major not in (None, header.major):
        return f"holds no WAL of PostgreSQL {wal.major or ''}".rstrip()
    if wal.system_identifier not in (None, header.system_identifier):
        return f"is of another cluster: system identifier {header.system_identifier}"
    if header.start_lsn != SegmentId.parse(name, wal.segment_size).start(wal.segment_size):
        return f"holds the WAL from {header.start_lsn}"
    return ""
