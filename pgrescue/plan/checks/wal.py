"""Checks of the WAL that recovery will need."""

from __future__ import annotations

from shlex import quote

from pgrescue.findings import Finding
from pgrescue.plan.checks.context import Context, blocker, ok, warning
from pgrescue.plan.command_trial import judge
from pgrescue.plan.model import WalTail


def archive(context: Context) -> list[Finding]:
    """The archive can be read and belongs to the backup's cluster."""
    facts, found = context.facts, context.facts.archive
    if found.path is None:
        if found.restore_command:
            return warning(
                "wal.archive",
                "WAL comes from a restore_command only, so what it has cannot be listed here.",
            )
        return _without_archive(context)
    if not found.listed:
        return blocker(
            "wal.archive",
            f"The WAL archive {found.path} cannot be read: {found.problem}.",
            "check wal_archive in the configuration",
        )
    if found.owner_can_read is False:
        return blocker(
            "wal.archive",
            f"The WAL archive {found.path} cannot be read by {facts.cluster.owner.name}, "
            "as whom recovery fetches WAL.",
            f"give {facts.cluster.owner.name} read and search permission on {found.path}",
        )
    if found.missing_programs:
        return blocker(
            "wal.programs",
            f"The archive holds compressed WAL, and {', '.join(found.missing_programs)} is not "
            "installed.",
            f"install {' '.join(found.missing_programs)}",
        )
    identifier = facts.backup.system_identifier
    if identifier and found.system_identifier and identifier != found.system_identifier:
        return blocker(
            "wal.system_identifier",
            f"The WAL archive {found.path} belongs to another cluster: its system identifier is "
            f"{found.system_identifier}, the backup's {identifier}.",
            "check wal_archive in the configuration",
        )
    return ok("wal.archive", f"The WAL archive holds {found.segment_count} segments.")


def _without_archive(context: Context) -> list[Finding]:
    if context.request.target.kind not in ("latest", "immediate"):
        return warning(
            "wal.archive",
            "No WAL archive is configured: recovery cannot go beyond the backup's own WAL and "
            "what the old data directory still has.",
            "wal_archive = DIR in the configuration",
        )
    return warning(
        "wal.archive",
        "No WAL archive is configured: what was committed after the backup is lost, but for what "
        "the old data directory's pg_wal still has.",
    )


def complete_to_the_backups_end(context: Context) -> list[Finding]:
    """The WAL between the backup's start and end is there."""
    facts, backup = context.facts, context.facts.backup
    details = backup.details
    if details is None or details.wal_inside != "none" or facts.archive.restore_command:
        return []
    end = facts.reach.end
    needed = backup.stop_lsn or backup.start_lsn
    if end is None or (needed is not None and end < needed):
        return blocker(
            "wal.missing",
            f"The backup holds no WAL of its own and the archive lacks {facts.reach.missing}, "
            "which it needs to become consistent.",
            f"put {facts.reach.missing} into the archive, or choose another backup",
        )
    return []


def beyond_the_archive(context: Context) -> list[Finding]:
    """A hole in the archive is said before recovery silently ends there."""
    reach, target = context.facts.reach, context.request.target
    if context.facts.archive.restore_command or not context.facts.archive.listed:
        return []
    foretold = context.facts.foretold
    if foretold and foretold.stop.replayed_to is not None and target.kind != "latest":
        return []  # recovery stops before it gets to what is missing
    if reach.fork_missing and target.kind != "immediate":
        return blocker(
            "wal.fork_missing",
            f"{reach.missing}, the first segment of timeline {reach.timeline}, is missing, but the "
            "segment of that number of an older timeline is there: PostgreSQL would read that "
            "instead and silently go on in the wrong history.",
            f"put {reach.missing} into the archive, or choose a target before its fork with "
            "--timeline of the older one",
        )
    if reach.only_partial and target.kind != "immediate":
        return warning(
            "wal.only_partial",
            f"Of {reach.missing} the archive has only a .partial copy, which recovery never reads: "
            "what is in it is left out.",
            f"if nothing better turns up: copy it to {reach.missing}, padded with zeros to "
            f"{context.work.wal_segment_size} bytes",
        )
    if reach.resumes_at is not None and target.kind != "immediate":
        return warning(
            "wal.gap",
            f"The archive has a gap: {reach.missing} is missing and {reach.resumes_at} is there "
            "again. Recovery ends at the gap.",
            f"look for {reach.missing} on the old primary or its standbys",
        )
    return []


def restore_command(context: Context) -> list[Finding]:
    """The configured command was tried, and does what the server takes its answers for."""
    trial, details = context.facts.trial, context.facts.backup.details
    if trial is None:
        return []
    has_own = details is not None and details.wal_inside != "none"
    return list(judge(trial, needed=not has_own or context.request.target.kind != "immediate"))


def tail(context: Context) -> list[Finding]:
    """What would be lost without the WAL that only the old pg_wal has, and whether it is whole."""
    found: list[Finding] = []
    for path, reason in context.facts.unreadable_wal.items():
        said = f"{path} is not in the archive and cannot be read: {reason}."
        if not context.in_place:
            found += warning(
                "wal.tail_unreadable",
                f"{said} The clone goes without it; it stays where it is.",
                "copy it into the archive by other means, and plan again",
            )
            continue
        found += blocker(
            "wal.tail_unreadable",
            f"{said} What is in it would be lost.",
            f"try to copy it by other means; to go on without it: mv {quote(path)} "
            f"{quote(path + '.unreadable')}",
        )
    known = context.facts.wal_tail
    if known is not None:
        found += ok("wal.tail", tail_text(known, is_rescued_before=bool(context.work.rescued)))
    elif _leaves_out_the_newest(context):
        found += ok(
            "wal.tail",
            "The server runs: what it commits from now on, and what it has not archived yet, is "
            "not in the clone.",
        )
    return found


def _leaves_out_the_newest(context: Context) -> bool:
    cluster, target = context.facts.cluster, context.request.target
    is_it = cluster.identifier == context.facts.backup.system_identifier
    return (
        not context.in_place
        and cluster.postmaster is not None
        and is_it
        and target.kind == "latest"
    )


def tail_text(tail: WalTail, *, is_rescued_before: bool) -> str:
    """What only the old cluster's `pg_wal` has, or an earlier run of it, in a sentence."""
    count, first = len(tail.segments), tail.segments[0]
    segments = f"{first} alone" if count == 1 else f"{count} segments from {first} on"
    where = "the old pg_wal"
    if is_rescued_before:
        where += ", or what an earlier run has rescued of it,"
    start = f"Only {where} has {segments}, which {'is' if count == 1 else 'are'} rescued first."
    if tail.commits is None:
        return f"{start} What is in there could not be read."
    if not tail.commits:
        return f"{start} No commit up to the target is in there."
    commits = "1 commit" if tail.commits == 1 else f"{tail.commits:,} commits"
    return f"{start} Without that {commits} of {tail.seconds:,.1f} seconds would be lost."
