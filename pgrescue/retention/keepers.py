"""What a policy keeps, and why, in words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from pgrescue.catalog.model import Backup
from pgrescue.config.retention_policy import RetentionPolicy
from pgrescue.plan.choose import is_on_branch
from pgrescue.retention.counted import Family, counted_backups, days_ago, taken_at
from pgrescue.retention.facts import RetentionFacts
from pgrescue.retention.words import number_of

Reasons = dict[str, list[str]]
"""By a backup's id: everything that speaks for keeping it."""
Period = tuple[int, int]
"""Year and week, or year and month."""


def keep_reasons(facts: RetentionFacts, policy: RetentionPolicy) -> Reasons:
    """Every backup that stays under a policy, with at least one reason.

    What is not counted is not in here: it stays, but speaks for nothing but its own parents.
    """
    keeping = _Keeping(facts)
    if policy.keeps_everything:
        keeping.add(keeping.counted, "no policy: everything is kept")
    elif not keeping.fulls:
        keeping.add(keeping.counted, "there is no usable full backup: everything is kept")
    else:
        keeping.add(keeping.fulls[-1:], "the newest usable full backup")
        keeping.newest(policy.count)
        keeping.days(policy.days)
        keeping.periods(policy.weekly, _week)
        keeping.periods(policy.monthly, _month)
    keeping.immovable()
    keeping.relatives()
    return keeping.reasons


def recovery_lines(facts: RetentionFacts, counted: Sequence[Backup], since: datetime) -> list[int]:
    """The timelines along which there is, or may be, a moment since then to recover to."""
    lines = {
        window.timeline
        for window in facts.windows
        if window.to_time is None or window.to_time >= since
    }
    # Where nothing is written there is no commit, and yet the last days are wanted.
    lines |= {backup.timeline for backup in counted[-1:] if backup.timeline is not None}
    lines |= {max((window.timeline for window in facts.windows), default=0)}
    lines |= {facts.current_timeline or 0}
    return sorted(lines - {0})


class _Keeping:
    """The reasons found so far."""

    def __init__(self, facts: RetentionFacts) -> None:
        self.facts = facts
        self.counted = counted_backups(facts)
        self.fulls = [backup for backup in self.counted if backup.kind == "full"]
        self.family = Family(facts.backups)
        self.reasons: Reasons = {}
        self._counts = {backup.id for backup in self.counted}

    def add(self, backups: Iterable[Backup], reason: str) -> None:
        """One more reason for those of the backups that count."""
        for backup in backups:
            if backup.id in self._counts:
                said = self.reasons.setdefault(backup.id, [])
                if reason not in said:
                    said.append(reason)

    def newest(self, count: int | None) -> None:
        """The newest full backups, with all that builds upon them."""
        if count is None:
            return
        for backup in self.family.distinct(reversed(self.fulls))[:count]:
            self.add([backup], f"newest {count}")
            self.add(self.family.descendants(backup), f"newest {count}, upon {backup.id}")

    def days(self, days: int | None) -> None:
        """All of the last days, and on each line of descent the last backup before them."""
        if days is None:
            return
        begin = days_ago(self.facts.now, days)
        covers = f"covers the last {number_of(days, 'day')}"
        self.add([backup for backup in self.counted if taken_at(backup) >= begin], covers)
        before = [backup for backup in reversed(self.counted) if taken_at(backup) < begin]
        histories = self.facts.archive.histories if self.facts.archive else {}
        for line in recovery_lines(self.facts, self.counted, begin):
            for backup in before:
                if is_on_branch(backup, line, histories):
                    self.add([backup], covers)
                    if backup.stopped_at is not None:
                        break  # one whose end is not known may end within the days

    def periods(self, count: int | None, name_of: Callable[[datetime], tuple[str, Period]]) -> None:
        """The newest full backup of each of the newest periods that have one."""
        if count is None:
            return
        zone = None if self.facts.zone is None else ZoneInfo(self.facts.zone)
        newest: dict[Period, tuple[str, Backup]] = {}
        for backup in self.fulls:
            name, period = name_of(taken_at(backup).astimezone(zone))
            newest[period] = (name, backup)
        for period in sorted(newest)[-count:]:
            name, backup = newest[period]
            self.add([backup], name)

    def immovable(self) -> None:
        """What cannot be taken out of its place."""
        for backup in self.counted:
            if backup.id in self.facts.immovable:
                self.add([backup], self.facts.immovable[backup.id])

    def relatives(self) -> None:
        """Parents of all that stays, and copies of all that is kept, until nothing is added."""
        waiting = [
            backup
            for backup in self.facts.backups
            if backup.id in self.reasons or backup.id not in self._counts
        ]
        while waiting:
            backup = waiting.pop()
            for other, reason in self._relatives_of(backup):
                if other.id in self._counts and other.id not in self.reasons:
                    waiting.append(other)
                self.add([other], reason)

    def _relatives_of(self, backup: Backup) -> list[tuple[Backup, str]]:
        found: list[tuple[Backup, str]] = []
        counts = backup.id in self._counts
        parent = self.family.parent(backup)
        if parent is not None:
            unsure = "" if counts else ", which is not usable itself"
            found.append((parent, f"needed by the incremental {backup.id}{unsure}"))
        if counts:
            copies = self.family.copies(backup)
            found += [(c, f"a copy of {backup.id}") for c in copies if c.id not in self.reasons]
        return found


def _week(local: datetime) -> tuple[str, Period]:
    year, number, _ = local.isocalendar()
    return f"week {year}-W{number:02}", (year, number)


def _month(local: datetime) -> tuple[str, Period]:
    return f"month {local:%Y-%m}", (local.year, local.month)
