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
from pgrescue.retention.lines import histories_of, leads_to, lines_going_on
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
        keeping.whatever_the_policy()
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
        self._along = {
            line: [backup for backup in self.counted if leads_to(facts, backup, line)]
            for line in lines_going_on(facts, self.counted)
        }

    def add(self, backups: Iterable[Backup], reason: str) -> None:
        """One more reason for those of the backups that count."""
        for backup in backups:
            if backup.id in self._counts:
                said = self.reasons.setdefault(backup.id, [])
                if reason not in said:
                    said.append(reason)

    def whatever_the_policy(self) -> None:
        """The newest full backup and the newest of all, of any line and of each that goes on."""
        self.add(self.fulls[-1:], "the newest usable full backup")
        if self.counted[-1].kind != "full":
            self.add(self.counted[-1:], "the newest usable backup")
        for line, leading in self._along.items():
            on_the_way = f"on the way to timeline {line}"
            fulls = [backup for backup in leading if backup.kind == "full"]
            for newest in (fulls[-1:], leading[-1:]):
                if not self._are_kept(newest):
                    self.add(newest, f"the newest usable one {on_the_way}")

    def newest(self, count: int | None) -> None:
        """The newest full backups, with all that builds upon them."""
        if count is None:
            return
        self._newest(self.fulls, count, f"newest {count}")
        for line, leading in self._along.items():
            fulls = [backup for backup in leading if backup.kind == "full"]
            self._newest(fulls, count, f"newest {count} on the way to timeline {line}")

    def _newest(self, fulls: Sequence[Backup], count: int, reason: str) -> None:
        for backup in self.family.distinct(reversed(fulls))[:count]:
            if not self._says(backup, f"newest {count}"):
                self.add([backup], reason)
            self.add(self.family.descendants(backup), f"newest {count}, upon {backup.id}")

    def days(self, days: int | None) -> None:
        """All of the last days, and on each line of descent the last backup before them."""
        if days is None:
            return
        begin = days_ago(self.facts.now, days)
        covers = f"covers the last {number_of(days, 'day')}"
        self.add([backup for backup in self.counted if taken_at(backup) >= begin], covers)
        before = [backup for backup in reversed(self.counted) if taken_at(backup) < begin]
        histories = histories_of(self.facts)
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
        for backups, where in (
            (self.counted, ""),
            *((b, f" on the way to timeline {line}") for line, b in self._along.items()),
        ):
            fulls = [backup for backup in backups if backup.kind == "full"]
            for name, backup in self._newest_by_period(fulls, name_of)[-count:]:
                if not self._says(backup, name):
                    self.add([backup], f"{name}{where}")

    def _newest_by_period(
        self, fulls: Sequence[Backup], name_of: Callable[[datetime], tuple[str, Period]]
    ) -> list[tuple[str, Backup]]:
        zone = None if self.facts.zone is None else ZoneInfo(self.facts.zone)
        newest: dict[Period, tuple[str, Backup]] = {}
        for backup in fulls:
            name, period = name_of(taken_at(backup).astimezone(zone))
            newest[period] = (name, backup)
        return [newest[period] for period in sorted(newest)]

    def _says(self, backup: Backup, reason: str) -> bool:
        return reason in self.reasons.get(backup.id, ())

    def _are_kept(self, backups: Sequence[Backup]) -> bool:
        return all(backup.id in self.reasons for backup in backups)

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
