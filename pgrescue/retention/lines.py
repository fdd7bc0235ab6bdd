"""The timelines that go on, and which backups lead to them.

After a recovery to an earlier point the newest backups may all be of a line that was abandoned.
"""

from __future__ import annotations

from collections.abc import Sequence

from pgrescue.catalog.model import Backup
from pgrescue.plan.choose import is_on_branch
from pgrescue.postgres.history_file import TimelineHistory
from pgrescue.retention.counted import Family, counted_backups
from pgrescue.retention.facts import RetentionFacts
from pgrescue.wal.archive import newest_timeline


def histories_of(facts: RetentionFacts) -> dict[int, TimelineHistory]:
    """Who descends from whom, as the archive tells it, else the cluster itself."""
    archived = facts.archive.histories if facts.archive is not None else {}
    return {**facts.own_histories, **archived}


def current_line(facts: RetentionFacts, counted: Sequence[Backup]) -> int | None:
    """The cluster's own timeline; where that is not known, the one to which `latest` leads."""
    return facts.current_timeline or newest_line(facts, counted)


def newest_line(facts: RetentionFacts, counted: Sequence[Backup]) -> int | None:
    """The newest timeline that any of the backups leads to; None without backups."""
    histories = histories_of(facts)
    return max((newest_timeline(b.timeline or 1, histories) for b in counted), default=None)


def lines_going_on(facts: RetentionFacts, counted: Sequence[Backup]) -> list[int]:
    """The current one, and a newer one: a standby elsewhere may have been promoted."""
    found = {current_line(facts, counted), newest_line(facts, counted)}
    return sorted(line for line in found if line is not None)


def leads_to(facts: RetentionFacts, backup: Backup, line: int) -> bool:
    """Whether a recovery from this backup can follow a timeline to where it goes on.

    A cluster that was taken back, and is not yet on a timeline of its own, is behind the backups
    that were taken later.
    """
    is_current = line == facts.current_timeline and facts.current_lsn is not None
    if is_current and (backup.start_lsn or 0) > (facts.current_lsn or 0):
        return False
    return is_on_branch(backup, line, histories_of(facts))


def leading_among(facts: RetentionFacts, backups: Sequence[Backup]) -> list[Backup]:
    """Those of the backups from which recovery can follow the cluster's own timeline."""
    line = current_line(facts, counted_backups(facts))
    return [backup for backup in backups if line is not None and leads_to(facts, backup, line)]


def unproved_newest(facts: RetentionFacts, leading: Sequence[Backup]) -> Backup | None:
    """The last of them, unless it or a copy of it was found right by a verification."""
    family = Family(facts.backups)
    for newest in leading[-1:]:
        if not any(backup.verified_at for backup in (newest, *family.copies(newest))):
            return newest
    return None
