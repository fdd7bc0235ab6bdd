"""Hand-made catalogs and archives, and a plain answer to what can be recovered with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pgrescue.catalog.chains import link_chains
from pgrescue.catalog.model import Backup, BackupDetails, Problem
from pgrescue.history.model import RecoverableWindow
from pgrescue.postgres.history_file import Ancestor, TimelineHistory
from pgrescue.postgres.lsn import Lsn
from pgrescue.retention.facts import RetentionFacts
from pgrescue.wal.archive import ArchivedFile, WalArchive
from pgrescue.wal.segment import DEFAULT_SEGMENT_SIZE as SIZE
from pgrescue.wal.segment import SegmentId

MONDAY = datetime(2026, 11, 16, tzinfo=UTC)
OWN, OTHER = "7400000000000000001", "7400000000000000002"


def backup_at(
    moment: datetime,
    segment: int,
    *,
    name: str = "",
    timeline: int = 1,
    parent: Backup | None = None,
    path: str = "",
) -> Backup:
    """A whole backup that begins and ends within one segment."""
    name = name or f"{moment:%Y%m%d-%H%M}{'I' if parent else 'F'}"
    start = Lsn(segment * SIZE + 40)
    return Backup(
        id=name,
        source="basebackup",
        path=path or f"/b/{name}",
        format="tar",
        compression="gzip",
        kind="incremental" if parent else "full",
        parent=None,
        label="",
        server_version="18",
        system_identifier=OWN,
        timeline=timeline,
        start_lsn=start,
        stop_lsn=Lsn(start + 100),
        started_at=moment - timedelta(minutes=10),
        stopped_at=moment,
        size_bytes=1000,
        restore_bytes=5000,
        tablespaces=(),
        has_manifest=True,
        verified_at=moment,
        usable=True,
        problems=(),
        window=None,
        details=BackupDetails(
            checkpoint_lsn=start,
            wal_inside="none",
            wal_segment_size=SIZE,
            from_standby=False,
            incremental_from_lsn=parent.start_lsn if parent else None,
            incremental_from_timeline=parent.timeline if parent else None,
            base_archive="base.tar.gz",
            wal_archive=None,
        ),
    )


def broken(backup: Backup, code: str = "truncated") -> Backup:
    """The same, not usable."""
    return backup.with_problem(Problem(code, "It ends in the middle."))


@dataclass
class World:
    """Backups, and an archive of one segment an hour.

    A timeline's segments are its own from its fork on; `timelines` holds, by id, the parent, the
    segment of the fork, and the hour at which it began.
    """

    backups: list[Backup] = field(default_factory=list)
    segments: set[tuple[int, int]] = field(default_factory=set)
    """Timeline and number."""
    timelines: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    now: datetime = MONDAY
    begin: datetime = MONDAY
    """The time of segment 0 of timeline 1."""

    def fill(self, timeline: int, first: int, last: int) -> None:
        """Archive the segments from `first` to `last`."""
        self.segments |= {(timeline, number) for number in range(first, last + 1)}

    def time_of(self, timeline: int, number: int) -> datetime:
        """When a segment was filled."""
        _, fork, hour = self.timelines.get(timeline, (0, 0, 0))
        return self.begin + timedelta(hours=hour + number - fork)

    def history(self, timeline: int) -> TimelineHistory:
        """As its history file tells it."""
        ancestors: list[Ancestor] = []
        while timeline in self.timelines and self.timelines[timeline][0]:
            parent, fork, _ = self.timelines[timeline]
            ancestors.insert(0, Ancestor(parent, Lsn(fork * SIZE + 8000), ""))
            timeline = parent
        return TimelineHistory(timeline, tuple(ancestors))

    def histories(self) -> dict[int, TimelineHistory]:
        """All of them, by timeline."""
        return {
            timeline: TimelineHistory(timeline, self.history(timeline).ancestors)
            for timeline, (parent, _, _) in self.timelines.items()
            if parent
        }

    def owner(self, line: int, number: int) -> int:
        """The timeline whose file recovery along a line reads for a segment."""
        while line in self.timelines and number < self.timelines[line][1]:
            line = self.timelines[line][0]
        return line

    def leads(self, backup: Backup, line: int) -> bool:
        """Whether recovery from a backup can follow a line, from first principles."""
        number = int(backup.stop_lsn or 0) // SIZE
        timeline = line
        while timeline != backup.timeline:
            if timeline not in self.timelines:
                return False
            timeline, fork, _ = self.timelines[timeline]
            if number > fork or (number == fork and int(backup.stop_lsn or 0) % SIZE > 8000):
                return False
        return True

    def reach(self, backup: Backup, line: int) -> int:
        """The first segment that is missing on the way from a backup along a line."""
        number = int(backup.start_lsn or 0) // SIZE
        while (self.owner(line, number), number) in self.segments:
            number += 1
        return number

    def lines(self) -> list[int]:
        """Every timeline."""
        return sorted({1, *self.timelines})

    def reachable(self) -> set[tuple[int, int]]:
        """Every line and segment at whose end recovery can stop."""
        return {
            (line, number)
            for backup in self.linked()
            if backup.usable
            for line in self.lines()
            if self.leads(backup, line)
            for number in range(int(backup.stop_lsn or 0) // SIZE, self.reach(backup, line))
        }

    def linked(self) -> list[Backup]:
        """The catalog, in which a backup without the WAL of its own time is not usable."""
        return [
            backup if self._holds_its_wal(backup) else broken(backup, "wal_missing")
            for backup in link_chains(self.backups)
        ]

    def _holds_its_wal(self, backup: Backup) -> bool:
        number = int(backup.start_lsn or 0) // SIZE
        inside = backup.details is not None and backup.details.wal_inside != "none"
        return inside or (backup.timeline, number) in self.segments

    def windows(self) -> Iterator[RecoverableWindow]:
        """As reading the archive by names tells them."""
        for backup in self.linked():
            for line in self.lines() if backup.usable else []:
                if self.leads(backup, line):
                    end = self.reach(backup, line)
                    later = any(n > end and self.owner(line, n) == t for t, n in self.segments)
                    stands = end > int(backup.start_lsn or 0) // SIZE
                    last = self.time_of(self.owner(line, end - 1), end - 1) if stands else None
                    yield RecoverableWindow(
                        backup=backup.id,
                        timeline=line,
                        from_lsn=backup.stop_lsn,
                        from_time=backup.stopped_at,
                        to_lsn=max(Lsn(end * SIZE), backup.stop_lsn or Lsn(0)),
                        to_time=last,
                        ends="gap" if later else "end_of_archive",
                        reason=f"segment {end} is missing",
                        checked=False,
                    )

    def archive(self) -> WalArchive:
        """The archive as it is listed."""
        names = sorted(SegmentId(number, line).name(SIZE) for line, number in self.segments)
        return WalArchive(
            path=Path("/wal"),
            segments={name: ArchivedFile(name, f"/wal/{name}", SIZE) for name in names},
            histories=self.histories(),
            backup_histories={},
            problems=(),
        )

    def facts(self, **changes: object) -> RetentionFacts:
        """What advice is made from."""
        facts = RetentionFacts(
            now=self.now,
            zone="UTC",
            system_identifier=OWN,
            current_timeline=None,
            backups=tuple(self.linked()),
            windows=tuple(self.windows()),
            archive=self.archive(),
            archive_identifier=OWN,
            archive_problem=None,
            segment_size=SIZE,
        )
        return replace(facts, **changes)  # type: ignore[arg-type]  # a test's own choice

    def without(self, backups: set[str], names: set[str]) -> World:
        """What is left once backups and WAL files are gone."""
        gone = {SegmentId.parse(name, SIZE) for name in names}
        return World(
            [backup for backup in self.backups if backup.id not in backups],
            {(t, n) for t, n in self.segments if SegmentId(n, t) not in gone},
            self.timelines,
            self.now,
            self.begin,
        )


def daily(count: int, *, hours: int = 24) -> World:
    """A full backup a day, the last one a moment ago, all WAL archived."""
    world = World()
    for day in range(count):
        moment = MONDAY + timedelta(days=day, minutes=30)
        world.backups.append(backup_at(moment, day * hours, name=f"day{day}"))
    world.fill(1, 0, count * hours)
    world.now = MONDAY + timedelta(days=count)
    return world
