"""Which archived WAL no backup that stays can need any more.

Whatever stays in the catalog keeps its WAL, usable or not: only what is older than the oldest of
them on every line of descent may go. A line to which none of them leads keeps all of its WAL:
somebody may be at work there. History files always stay.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from pgrescue.catalog.model import Backup
from pgrescue.plan.choose import is_on_branch
from pgrescue.retention.counted import counted_backups, own_identifier
from pgrescue.retention.facts import RetentionFacts
from pgrescue.retention.lines import histories_of, lines_going_on
from pgrescue.retention.model import WalAdvice, WalCut
from pgrescue.wal.archive import ArchivedFile, WalArchive
from pgrescue.wal.recovery_path import contradictions
from pgrescue.wal.segment import SegmentId, SegmentNumbers

_MAY_BE_GOOD = ("unreadable", "compression_unknown", "path_not_utf8", "ambiguous")
"""Problems of what may be a whole backup that cannot be read: the WAL it needs is not known."""


@dataclass(frozen=True, slots=True)
class Holder:
    """A backup that stays, and the first segment that a recovery from it reads."""

    backup: Backup
    first: int


def wal_advice(facts: RetentionFacts, staying: Sequence[Backup]) -> WalAdvice:
    """What of the archive can go once only these backups are left."""
    archive = facts.archive
    path = str(archive.path) if archive is not None else None
    holders = holders_among(facts, staying)
    blocked = _why_blocked(facts, staying, holders)
    if archive is None or blocked is not None:
        return WalAdvice(path, (), (), blocked)
    needed = first_needed(facts, holders)
    files = sorted(
        (file for file in _wal_files(archive) if _number(file, facts) < needed[_timeline(file)]),
        key=lambda file: (file.name, str(file.location)),
    )
    cuts = tuple(
        _cut(timeline, list(group), needed[timeline], facts.segment_size)
        for timeline, group in groupby(files, key=_timeline)
    )
    return WalAdvice(path, cuts, tuple(files), None)


def holders_among(facts: RetentionFacts, staying: Sequence[Backup]) -> list[Holder]:
    """The backups whose recovery reads this archive, by all that is known."""
    found = []
    for backup in (*staying, *facts.elsewhere):
        if backup.start_lsn is not None and backup.timeline is not None:
            segment = SegmentId.at(backup.start_lsn, backup.timeline, facts.segment_size)
            if _reads_this_archive(facts, backup, segment):
                found.append(Holder(backup, segment.number))
    return found


def held_alone(facts: RetentionFacts, staying: Sequence[Backup], backup: Backup) -> int:
    """How many segments are kept for one backup's sake only."""
    holders = holders_among(facts, staying)
    others = [holder for holder in holders if holder.backup.id != backup.id]
    if facts.archive is None or not others or len(others) == len(holders):
        return 0
    needed, without = first_needed(facts, holders), first_needed(facts, others)
    return sum(
        needed[_timeline(file)] <= _number(file, facts) < without[_timeline(file)]
        for file in facts.archive.segments.values()
    )


def first_needed(facts: RetentionFacts, holders: Sequence[Holder]) -> dict[int, int]:
    """For each timeline the number of the first segment that must stay.

    That is where the oldest backup begins from which recovery can follow the timeline: one that
    began on a later timeline reads nothing of those before. Where no backup leads, that is the very
    first one, unless the timeline was left for others that backups lead to. Where history
    files leave open who descends from whom, it is where the oldest of all begins.
    """
    archive = facts.archive
    assert archive is not None
    oldest = min(holder.first for holder in holders)
    timelines = {_timeline(file) for file in _wal_files(archive)}
    if _is_unsure(archive, holders, timelines):
        return {line: oldest if _is_held(facts, holders, line) else 0 for line in timelines}
    histories = histories_of(facts)
    leading = {
        line: [h.first for h in holders if is_on_branch(h.backup, line, histories)]
        for line in {*timelines, *histories}
    }
    held = [histories[line] for line, firsts in leading.items() if firsts and line in histories]
    left = {ancestor.timeline for history in held for ancestor in history.ancestors}
    left -= set(lines_going_on(facts, counted_backups(facts)))
    return {line: min(leading[line], default=oldest if line in left else 0) for line in timelines}


def _is_held(facts: RetentionFacts, holders: Sequence[Holder], line: int) -> bool:
    """Whether a backup leads to a timeline, or to later ones only, as far as numbers can tell."""
    began = {holder.backup.timeline or 0 for holder in holders}
    if line in began:
        return True
    return line < max(began) and line not in lines_going_on(facts, counted_backups(facts))


def _is_unsure(archive: WalArchive, holders: Sequence[Holder], timelines: set[int]) -> bool:
    damaged = any(problem.code == "history_damaged" for problem in archive.problems)
    missing = any(line > 1 and line not in archive.histories for line in timelines)
    disagreeing = any(True for _ in contradictions(archive.histories))
    clusters = {holder.backup.system_identifier for holder in holders}
    return damaged or missing or disagreeing or len(clusters) > 1


def _reads_this_archive(facts: RetentionFacts, backup: Backup, first: SegmentId) -> bool:
    """Another cluster's backup does only if its WAL is in the same directory."""
    if backup.system_identifier in (None, own_identifier(facts)):
        return True
    foreign = any(problem.code == "archive_foreign" for problem in backup.problems)
    name = first.name(facts.segment_size)
    return not foreign and facts.archive is not None and name in facts.archive.segments


def _why_blocked(
    facts: RetentionFacts, staying: Sequence[Backup], holders: Sequence[Holder]
) -> str | None:
    """Why nothing of the archive is proposed; None if it may be."""
    archive = facts.archive
    if archive is None:
        return facts.archive_problem or "there is no WAL archive in a directory"
    if facts.archive_identifier not in (None, own_identifier(facts)):
        return f"{archive.path} is of another cluster, {facts.archive_identifier}"
    if not holders:
        return "no backup is left from whose start on WAL would be needed"
    for holder in holders:
        details = holder.backup.details
        if details is not None and details.wal_segment_size not in (None, facts.segment_size):
            return f"{holder.backup.id} has WAL segments of another size than the archive"
    for backup in (*staying, *facts.elsewhere):
        if backup.details is None and any(p.code in _MAY_BE_GOOD for p in backup.problems):
            return f"{backup.path} may be a backup that cannot be read: which WAL it needs is open"
    for unfinished in facts.unfinished_backups:
        return f"{unfinished}: which WAL it needs is open"
    if SegmentNumbers({0: list(archive.segments)}, facts.segment_size).impossible:
        return f"{archive.path} holds segments of several sizes"
    if facts.empty_roots:
        return f"nothing is in {facts.empty_roots[0]}: is it mounted? Backups may be missing"
    return None


def _wal_files(archive: WalArchive) -> Iterator[ArchivedFile]:
    """Segments, partial segments and backup history files; never a timeline's history."""
    for files in (archive.segments, archive.partials, archive.backup_histories):
        yield from files.values()
    yield from archive.copies


def _timeline(file: ArchivedFile) -> int:
    return int(file.name[:8], 16)


def _number(file: ArchivedFile, facts: RetentionFacts) -> int:
    return SegmentId.parse(file.name[:24], facts.segment_size).number


def _cut(timeline: int, files: Sequence[ArchivedFile], first_kept: int, size: int) -> WalCut:
    return WalCut(
        timeline=timeline,
        below=SegmentId(first_kept, timeline).name(size),
        first=files[0].name[:24],
        last=files[-1].name[:24],
        files=len(files),
        size_bytes=sum(file.size for file in files),
    )


def files_by_directory(files: Sequence[ArchivedFile]) -> Mapping[str, tuple[str, ...]]:
    """The names of files on disk, by the directory that they are in."""
    found: dict[str, list[str]] = {}
    for file in files:
        found.setdefault(str(file.path.parent), []).append(file.path.name)
    return {directory: tuple(sorted(names)) for directory, names in sorted(found.items())}
