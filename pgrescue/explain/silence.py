"""Failures that no line of the log calls one: recovery that ends, and should not have ended so."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from pgrescue.explain.evidence import (
    archived_segment,
    lost_label,
    not_fetched,
    setting,
    signal_file,
)
from pgrescue.explain.host import Host
from pgrescue.explain.message import REINITIALIZING, Explanation, Message, ServerStart
from pgrescue.explain.rule import STOP_FIRST, Facts, Rule
from pgrescue.postgres.server_log import parse_server_time

_RECOVERIES = ("starting archive recovery", "starting point-in-time recovery")
_ENDLESS = 20
"""So many timelines in a row mean that the command says yes to everything."""
_TARGET_TIME = re.compile(
    r"recovery to (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?[+-]\d\d(?::?\d\d)?)"
)
_VERSION = re.compile(r"starting PostgreSQL ([0-9]{1,4})")
_LAST_WITH_EXCLUSIVE = 14
_KNOWN_UP = re.compile(r"last known up at (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (?:UTC|GMT)")
"""In log_timezone, by its name; what another zone's name means is not in the log."""

Silence = tuple[Rule, Callable[[ServerStart, Facts, Host], Message | None]]
"""What is told, and the message at which it shows."""


def silent_failures(start: ServerStart, facts: Facts, host: Host) -> Iterator[Explanation]:
    """What went wrong in this start without an error line."""
    for rule, shows in SILENCES:
        message = shows(start, facts, host)
        if message is not None:
            yield rule.explain([message], facts, host, start)


def _end_without_target(start: ServerStart, _facts: Facts, _host: Host) -> Message | None:
    if start.first("starting point-in-time recovery") and not start.first("recovery stopping"):
        return start.first("selected new timeline ID")
    return None


def _end_at_gap(start: ServerStart, facts: Facts, host: Host) -> Message | None:
    if not start.first("starting archive recovery") or "file" not in facts:
        return None
    if host.archived(facts["file"]) or host.next_archived(facts["file"]) is None:
        return None
    return start.first("archive recovery complete")


def _nothing_fetched(start: ServerStart, facts: Facts, host: Host) -> Message | None:
    # A target behind the backup needs WAL of the archive, whatever the backup itself has.
    asked = start.first("starting point-in-time recovery") or any(not_fetched(facts, host))
    return _without_archive(start) if asked else None


def _nothing_given(start: ServerStart, facts: Facts, host: Host) -> Message | None:
    return None if _nothing_fetched(start, facts, host) else _without_archive(start)


def _without_archive(start: ServerStart) -> Message | None:
    asked = start.first(*_RECOVERIES)
    fetched = start.first('restored log file "0')
    if not asked or fetched or start.first("recovery stopping"):
        return None
    return start.first("redo done at")


def _no_signal(start: ServerStart, _facts: Facts, _host: Host) -> Message | None:
    return None if _may_be_exclusive(start) else _with_label_only(start)


def _no_signal_or_live(start: ServerStart, _facts: Facts, _host: Host) -> Message | None:
    return _with_label_only(start) if _may_be_exclusive(start) else None


def _may_be_exclusive(start: ServerStart) -> bool:
    """Whether a running server may have had a backup_label: up to 14, or if that is not known."""
    begins = start.first("starting PostgreSQL")
    version = _VERSION.match(begins.text) if begins else None
    return version is None or int(version[1]) <= _LAST_WITH_EXCLUSIVE


def _with_label_only(start: ServerStart) -> Message | None:
    interrupted = start.first("database system was interrupted; last known up at")
    asked = start.first(*_RECOVERIES, "entering standby mode")
    crashed = start.first("database system was not properly shut down", REINITIALIZING)
    if interrupted is None or asked or crashed or not start.first("redo starts at"):
        return None
    return start.first("database system is ready to accept connections")


def _label_lost(start: ServerStart, facts: Facts, host: Host) -> Message | None:
    ignored = start.first('ignoring file "tablespace_map"')
    if ignored is not None:
        return ignored
    return _without_label(start) if any(lost_label(facts, host)) else None


def _no_label(start: ServerStart, facts: Facts, host: Host) -> Message | None:
    return None if _label_lost(start, facts, host) else _without_label(start)


def _without_label(start: ServerStart) -> Message | None:
    asked = start.first(*_RECOVERIES)
    if asked is None:
        return None
    # Before replay begins: later on it tells of a crash of the server that has recovered.
    begins = start.after(asked).first("redo starts at")
    recovery = start.before(begins) if begins else start
    return recovery.after(asked).first("database system was not properly shut down")


def _target_before_backup(start: ServerStart, _facts: Facts, _host: Host) -> Message | None:
    target = start.first("starting point-in-time recovery to")
    known_up = start.first("database system was interrupted; last known up at")
    if target is None or known_up is None or not start.first("recovery stopping before"):
        return None
    wanted, taken = _TARGET_TIME.search(target.text), _KNOWN_UP.search(known_up.text)
    if wanted is None or taken is None:
        return None
    try:
        moment = parse_server_time(wanted[1])
        known = datetime.fromisoformat(taken[1]).replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    return target if moment is not None and moment < known else None


def _endless_history(start: ServerStart, _facts: Facts, _host: Host) -> Message | None:
    fetched = [
        message
        for message in start.all('restored log file "')
        if message.text.endswith('.history" from archive')
    ]
    return fetched[0] if len({message.text for message in fetched}) >= _ENDLESS else None


SILENCES: tuple[Silence, ...] = (
    (
        Rule(
            code="restore_command_fetched_nothing",
            patterns=(),
            wrong_end=True,
            title="Recovery got not a single WAL file from the archive.",
            cause="The restore_command says 'not there' to everything: a wrong path, an archive "
            "that is not mounted, or one that has nothing of this cluster. The server took that "
            "for the end of the WAL and stopped where its own pg_wal ends.",
            evidence=(setting("restore_command"), not_fetched),
            next=(
                "run it by hand as the server's account for one file that the archive has",
                "pgrescue plan   tries its restore_command before it is trusted",
                "what this server wrote meanwhile is a branch of its own: restore again",
            ),
        ),
        _nothing_fetched,
    ),
    (
        Rule(
            code="archive_gave_nothing",
            patterns=(),
            weight="note",
            wrong_end=True,
            uncertain=True,
            title="The archive gave nothing; that is right only if this backup was to be started "
            "with its own WAL alone.",
            cause="A backup with its own WAL (-X stream, -X fetch) can be started without an "
            "archive, and then stands where it was taken. If later changes were wanted, the "
            "restore_command said 'not there' to all of them: a wrong path, an archive that is "
            "not mounted, or the wrong one.",
            evidence=(setting("restore_command"), archived_segment),
            next=(
                "if only the backup was wanted: nothing to do",
                "otherwise restore again: pgrescue plan   tries its restore_command before it is "
                "trusted",
            ),
        ),
        _nothing_given,
    ),
    (
        Rule(
            code="ended_without_target",
            patterns=(),
            wrong_end=True,
            title="Recovery never met its target{target}, and the server opened for writing.",
            cause="PostgreSQL 12 does so without a word when the WAL ends first. It has begun a "
            "timeline of its own.",
            evidence=(archived_segment, setting("recovery_target_timeline")),
            next=(
                "pgrescue timeline   shows what can be reached",
                "restore again to a target that exists: pgrescue plan",
            ),
        ),
        _end_without_target,
    ),
    (
        Rule(
            code="ended_at_gap",
            patterns=(),
            wrong_end=True,
            title="Recovery ended at a gap in the archive, and the server opened for writing.",
            cause="{file} is missing, though later segments are there. The last commit kept is of "
            "{last_commit}; everything after it is lost in this server.",
            evidence=(archived_segment,),
            next=(
                "pgrescue timeline   names the gap",
                "look for that segment: the old server's pg_wal, a standby, a second archive",
                "then restore again: pgrescue plan --to latest",
            ),
        ),
        _end_at_gap,
    ),
    (
        Rule(
            code="started_without_recovery",
            patterns=(),
            wrong_end=True,
            title="A backup was started without recovery.signal: it stands where it was taken.",
            cause="The server only replayed what lay in the backup's own pg_wal and opened for "
            "writing. The archive was never asked.",
            evidence=(signal_file, setting("restore_command")),
            next=(
                "restore again: pgrescue plan --to latest   writes recovery.signal and the "
                "settings",
            ),
        ),
        _no_signal,
    ),
    (
        Rule(
            code="started_from_label",
            patterns=(),
            wrong_end=True,
            uncertain=True,
            title="The server started with a backup_label and without recovery.signal.",
            cause="Two things look like this. A live primary of PostgreSQL 12 to 14 that crashed "
            "between pg_start_backup and pg_stop_backup has recovered, and is as it should be. A "
            "backup that was started without recovery.signal stands where it was taken: the "
            "archive was never asked.",
            evidence=(signal_file, setting("restore_command")),
            next=(
                "if this is the live primary: nothing to do; the backup that was being taken is "
                "not one, take it again",
                f"if this is a backup: {STOP_FIRST}",
                "then restore again: pgrescue plan --to latest   writes recovery.signal and the "
                "settings",
            ),
        ),
        _no_signal_or_live,
    ),
    (
        Rule(
            code="backup_label_missing",
            patterns=(),
            wrong_end=True,
            title="The backup was started without its backup_label: its data cannot be trusted.",
            cause="Without it the server begins to replay at the wrong place, and says it is "
            "consistent before it is. Pages can be silently wrong.",
            evidence=(lost_label,),
            next=(
                "stop this server and do not use its data",
                "restore again, with backup_label: pgrescue plan",
            ),
        ),
        _label_lost,
    ),
    (
        Rule(
            code="recovered_without_label",
            patterns=(),
            wrong_end=True,
            uncertain=True,
            title="Recovery began without a backup_label: right for an atomic snapshot only.",
            cause="It is right if the data directory is a snapshot of all its volumes at one "
            "moment (ZFS, LVM, EBS), or what a crashed server left where it lay. If it is a base "
            "backup or any other copy, its backup_label was lost: the server began to replay at "
            "the wrong place, and pages can be silently wrong.",
            next=(
                "find out how this data directory was made",
                "if it is an atomic snapshot of all volumes, with pg_wal and every tablespace: "
                "nothing to do",
                "otherwise stop the server, do not use its data, and restore again, with "
                "backup_label: pgrescue plan",
            ),
        ),
        _no_label,
    ),
    (
        Rule(
            code="target_before_backup",
            patterns=(),
            title="The target time lies before the backup was taken.",
            cause="The server stopped at the first transaction after the backup, which is later "
            "than the target{target}.",
            evidence=(setting("recovery_target_time"),),
            next=("choose an earlier backup: pgrescue plan --to TIME does so by itself",),
        ),
        _target_before_backup,
    ),
    (
        Rule(
            code="restore_command_never_fails",
            patterns=(),
            title="The restore_command says yes to files that do not exist.",
            cause="The server asks for ever higher timelines until one is missing, and none is.",
            evidence=(setting("restore_command"),),
            next=(
                "it must end with an exit code above 0 where the archive has no such file",
                "let a new plan write it: pgrescue plan",
            ),
        ),
        _endless_history,
    ),
)
