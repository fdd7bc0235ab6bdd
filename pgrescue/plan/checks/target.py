"""Checks of the recovery target against the backup and the timelines."""

from __future__ import annotations

from datetime import timedelta

from pgrescue.findings import Finding
from pgrescue.plan.checks.context import Context, blocker, ok, warning
from pgrescue.plan.choose import ends_before, is_newer, is_on_branch
from pgrescue.plan.foretold import BEFORE_BACKUP
from pgrescue.plan.work import undo_does
from pgrescue.postgres.control_file import SHUT_DOWN_CLEANLY

_LABEL = timedelta(seconds=1)
"""How exactly a backup's label says when it began: what it holds from before is not in its WAL."""


def timeline(context: Context) -> list[Finding]:
    """The timeline exists and the backup lies on its line of descent."""
    facts, number = context.facts, context.facts.reach.timeline
    histories = facts.archive.histories
    known = number in histories or number in (1, facts.backup.timeline)
    if not known and facts.archive.listed:
        available = ", ".join(str(item) for item in sorted({1, *histories}))
        return blocker(
            "target.timeline",
            f"Timeline {number} has no history file in the archive. There are: {available}.",
            "choose another with --timeline N (decimal; file names are hexadecimal)",
        )
    if not is_on_branch(facts.backup, number, histories):
        return blocker(
            "target.timeline",
            f"Timeline {number} does not continue backup {facts.backup.id}: it left timeline "
            f"{facts.backup.timeline} before the backup's end.",
            "choose an earlier backup, or another --timeline",
        )
    control = facts.cluster.control
    if context.in_place and control is not None and control.current_timeline != number:
        return warning(
            "target.timeline",
            f"Recovery follows timeline {number}, but the cluster is on timeline "
            f"{control.current_timeline}: what was committed there after the fork is not in it.",
            f"if that is not meant: --timeline {control.current_timeline}",
        )
    return ok("target.timeline", f"Recovery follows timeline {number}.")


def after_the_backups_end(context: Context) -> list[Finding]:
    """The target lies after the backup's end, where only the backup itself can tell."""
    backup, target = context.facts.backup, context.request.target
    if ends_before(backup, target):
        return []
    foretold, begun = context.facts.foretold, backup.started_at
    if foretold and foretold.unreachable and foretold.unreachable.code == BEFORE_BACKUP:
        return []  # said already, and more exactly
    holds_later = target.time is not None and begun is not None and target.time < begun + _LABEL
    if foretold and not holds_later:
        return []  # the WAL has told whether anything between the backup's ends is too late
    end = backup.stopped_at if target.kind == "time" else backup.stop_lsn
    where = f"{end:%Y-%m-%d %H:%M:%S+00:00}" if target.kind == "time" and end else f"LSN {end}"
    return blocker(
        BEFORE_BACKUP,
        f"The target, {target}, lies before the end of backup {backup.id} ({where}). "
        "A backup can only be recovered to moments after its own end.",
        "choose an earlier backup (leave --backup out to have it chosen), or a later target",
    )


def not_in_the_future(context: Context) -> list[Finding]:
    """Recovery stops at a commit at or after a time; after the last one there is none."""
    target, now = context.request.target, context.facts.host.now
    if target.time is None or target.time <= now:
        return []
    return blocker(
        "target.future",
        f"The target, {target}, lies in the future: no commit is there to stop at.",
        "to get everything there is: --to latest",
    )


def transaction_was_begun(context: Context) -> list[Finding]:
    """A transaction id that the cluster had not given out when it was shut down is in no WAL."""
    target, control = context.request.target, context.facts.cluster.control
    if target.xid is None or control is None or not context.in_place or context.facts.foretold:
        return []
    at_rest = context.facts.cluster.postmaster is None and control.state in SHUT_DOWN_CLEANLY
    if at_rest and is_newer(target.xid, control.next_xid):
        return blocker(
            "target.xid",
            f"Transaction {target.xid} never was: the cluster's next one would have been "
            f"{control.next_xid & 0xFFFFFFFF}.",
            "check the number; to get everything there is: --to latest",
        )
    return warning(
        "target.xid",
        f"Whether transaction {target.xid} is in the WAL is not looked up beforehand. If it "
        "is not, recovery ends with an error, and undo "
        f"{undo_does(replaces=context.work.replaces)}.",
    )


def nothing_to_pause_at(context: Context) -> list[Finding]:
    """An action is asked for, but there is no target at which it could happen."""
    target = context.request.target
    if target.action == target.end:
        return []
    return warning(
        "target.action",
        f"There is nothing to {target.action} at: without a target recovery ends with the WAL, "
        "and the server opens for writing.",
        "give a target, such as --to TIME",
    )


def position_unknown(context: Context) -> list[Finding]:
    """Say when nothing but recovery itself will tell whether the target is there."""
    unknown = context.request.target.kind == "name" and context.facts.foretold is None
    if not unknown or context.request.backup != "auto":
        return []
    return warning(
        "target.position",
        "Where the restore point lies is known only to the WAL: the oldest fitting backup was "
        "chosen, which surely lies before it.",
        "name a later backup with --backup ID if you know that it ends before the restore point",
    )


def old_server_promotes(context: Context) -> list[Finding]:
    """PostgreSQL 12 opens for writing when it does not find the target."""
    if context.work.major != 12 or context.request.target.kind in ("latest", "immediate"):
        return []
    return warning(
        "target.version_12",
        "PostgreSQL 12 opens the database at the end of the WAL if it does not meet the target. "
        "pgrescue reports that as a failure, but the old data is then needed for a second try.",
    )
