"""Which backups a policy can count on, and how they hang together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from pgrescue.catalog import owner
from pgrescue.catalog.model import Backup
from pgrescue.retention.facts import RetentionFacts

_FIRST = datetime(1970, 1, 1, tzinfo=UTC)


def moment_of(backup: Backup) -> datetime | None:
    """The moment that a backup stands for: its end, else its beginning."""
    return backup.stopped_at or backup.started_at


def taken_at(backup: Backup) -> datetime:
    """The same for a backup that counts: those without are not counted."""
    moment = moment_of(backup)
    assert moment is not None
    return moment


def days_ago(now: datetime, days: int) -> datetime:
    """The beginning of the last days, at most as far back as computers' clocks go."""
    return now - timedelta(days=min(days, (now - _FIRST).days))


def why_not_counted(facts: RetentionFacts, backup: Backup) -> str | None:
    """Why a policy must not count on a backup; None if it may."""
    if not backup.usable:
        problem = next(problem for problem in backup.problems if problem.fatal)
        return f"not usable ({problem.code}): {problem.message}"
    if backup.system_identifier != own_identifier(facts):
        if backup.system_identifier is None:
            return "not known of which cluster: its system identifier is in none of its files"
        if own_identifier(facts) is None:
            return f"of the cluster {backup.system_identifier}, and which one is meant is not known"
        return f"of another cluster, {backup.system_identifier}"
    if moment_of(backup) is None or backup.start_lsn is None or backup.timeline is None:
        return "not known when it was taken"
    return None


def own_identifier(facts: RetentionFacts) -> str | None:
    """The cluster's system identifier: its own, else its archive's, else its backups' only one."""
    return owner.own_identifier((facts.system_identifier, facts.archive_identifier), facts.backups)


def counted_backups(facts: RetentionFacts) -> list[Backup]:
    """The backups that count, oldest first."""
    return sorted((b for b in facts.backups if why_not_counted(facts, b) is None), key=_age)


def _age(backup: Backup) -> tuple[datetime, int]:
    return taken_at(backup), backup.start_lsn or 0


class Family:
    """Parents, descendants and copies among the backups of a catalog."""

    def __init__(self, backups: Sequence[Backup]) -> None:
        self._by_id = {backup.id: backup for backup in backups}
        self._children: dict[str, list[Backup]] = {}
        self._copies: dict[object, list[Backup]] = {}
        for backup in backups:
            if backup.parent is not None:
                self._children.setdefault(backup.parent, []).append(backup)
            self._copies.setdefault(_identity(backup), []).append(backup)

    def parent(self, backup: Backup) -> Backup | None:
        """What an incremental backup builds upon."""
        return self._by_id.get(backup.parent) if backup.parent is not None else None

    def descendants(self, backup: Backup) -> Iterator[Backup]:
        """The incremental backups upon it, at any distance."""
        for child in self._children.get(backup.id, ()):
            yield child
            yield from self.descendants(child)

    def copies(self, backup: Backup) -> list[Backup]:
        """The same backup in other places: each was put there on purpose."""
        return [other for other in self._copies[_identity(backup)] if other.id != backup.id]

    def distinct(self, backups: Iterable[Backup]) -> list[Backup]:
        """One of each group of copies: a copy is no further backup."""
        chosen: dict[str, Backup] = {}
        for backup in backups:
            if not any(copy.id in chosen for copy in self.copies(backup)):
                chosen[backup.id] = backup
        return list(chosen.values())


def _identity(backup: Backup) -> object:
    """What copies of one backup share; the path for what cannot be compared."""
    if backup.start_lsn is None or backup.started_at is None:
        return backup.path
    return (backup.system_identifier, backup.timeline, backup.start_lsn, backup.started_at)
