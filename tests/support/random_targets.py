"""Recovery targets of every kind, well and badly aimed, over a busy history."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from pgrescue.plan.target import TargetKind
from pgrescue.postgres.lsn import Lsn
from tests.support.busy_history import SEGMENT_SIZE, BackupTruth, BusyHistory
from tests.support.waldump import Ending, Record

_MICROSECOND = timedelta(microseconds=1)
_ZONES = (0, 0, 2 * 60, -(7 * 60 + 30))
"""Minutes east of Greenwich in which times are written."""
_BEFORE_CONSISTENCY = 0.06
"""How many targets lie where the backup may not be consistent yet."""


@dataclass(frozen=True, slots=True)
class RandomTarget:
    """One target, in pgrescue's words and in the server's."""

    kind: TargetKind
    about: str
    """What it aims at, for messages."""
    options: tuple[str, ...]
    """Restore options, `--timeline` included; the caller adds `--backup`."""
    settings: dict[str, str]
    """The server's settings, `recovery_target_timeline` included."""
    timeline: int
    """The one that recovery follows."""
    backup: BackupTruth
    unreachable: bool | None
    """Whether recovery must run out of WAL before it; None where only the server knows."""


@dataclass(frozen=True, slots=True)
class _Shot:
    """A target without its timeline."""

    kind: TargetKind
    about: str
    options: tuple[str, ...]
    settings: dict[str, str]
    unreachable: bool | None = None


def random_targets(history: BusyHistory, seed: int, n: int) -> list[RandomTarget]:
    """`n` targets; the same ones for the same history and seed."""
    chance = random.Random(seed)
    archers: dict[tuple[int, str], _Archer] = {}
    found = []
    for _ in range(n):
        timeline = chance.choice(sorted(history.timelines))
        backup = chance.choice(history.backups_for(timeline))
        key = timeline, backup.name
        if key not in archers:
            archers[key] = _Archer(history, timeline, backup, chance)
        found.append(_on_timeline(archers[key].shoot(), history, timeline, backup, chance))
    return found


def _on_timeline(
    shot: _Shot, history: BusyHistory, timeline: int, backup: BackupTruth, chance: random.Random
) -> RandomTarget:
    """Name the timeline by its number or, where it means the same, in words."""
    words = [str(timeline)] * 4
    if timeline == max(history.timelines):
        words.append("latest")
    if timeline == backup.timeline:
        words.append("current")
    word = chance.choice(words)
    return RandomTarget(
        kind=shot.kind,
        about=f"{shot.about}; timeline {word} ({timeline}), backup {backup.name}",
        options=(*shot.options, "--timeline", word),
        settings={**shot.settings, "recovery_target_timeline": word},
        timeline=timeline,
        backup=backup,
        unreachable=shot.unreachable,
    )


class _Archer:
    """Aims at one timeline, from one backup."""

    def __init__(
        self, history: BusyHistory, timeline: int, backup: BackupTruth, chance: random.Random
    ) -> None:
        self._chance = chance
        self._trace = history.trace(timeline)
        everything = history.records(timeline)
        self._end = everything[-1].lsn
        self._all_endings = history.endings(timeline)
        self._records = [record for record in everything if record.lsn >= backup.start_lsn]
        self._late_records = [record for record in everything if record.lsn >= backup.stop_lsn]
        self._late_endings = [
            ending for ending in self._all_endings if ending.lsn >= backup.stop_lsn
        ]
        self._points = [
            point for point in history.restore_points(timeline) if point.lsn >= backup.start_lsn
        ]
        own = {point.name for point in self._points}
        self._foreign_points = sorted(
            {
                point.name
                for other in history.timelines.values()
                for point in other.restore_points
                if point.name not in own
            }
        )
        self._reachable_xids = {ending.xid for ending in self._all_endings}
        # A target xid counts only once recovery has begun: what ended before is past.
        self._coming_xids = {
            ending.xid for ending in self._all_endings if ending.lsn >= backup.start_lsn
        }

    def shoot(self) -> _Shot:
        """One target of any kind."""
        shots: tuple[tuple[Callable[[], _Shot], int], ...] = (
            (self._time, 36),
            (self._xid, 22),
            (self._odd_xid, 8),
            (self._lsn, 20),
            (self._name, 6),
            (self._unknown_name, 1),
            (self._too_late, 3),
            (self._immediate, 2),
            (self._latest, 2),
        )
        functions, weights = zip(*shots, strict=True)
        shot: _Shot = self._chance.choices(functions, weights)[0]()
        return shot

    def _time(self) -> _Shot:
        ending = self._ending()
        moment, where = ending.time, "at"
        match self._chance.randrange(5):
            case 0:
                moment, where = moment - _MICROSECOND, "1 us before"
            case 1:
                moment, where = moment + _MICROSECOND, "1 us after"
            case 2:
                moment, where = self._between(ending), "between it and the next:"
            case 3 if self._chance.random() < 0.3:
                moment, where = moment.replace(microsecond=0), "at the full second before"
        return self._at(moment, f"time {where} {_describe(ending)}")

    def _at(self, moment: datetime, about: str, unreachable: bool | None = None) -> _Shot:
        zone = timezone(timedelta(minutes=self._chance.choice(_ZONES)))
        settings = {"recovery_target_time": f"{moment:%Y-%m-%d %H:%M:%S.%f}+00"}
        options = ("--to", moment.astimezone(zone).isoformat())
        return self._in_or_exclusive("time", about, options, settings, unreachable)

    def _between(self, ending: Ending) -> datetime:
        later = [other.time for other in self._all_endings if other.time > ending.time]
        return ending.time + (min(later) - ending.time) / 2 if later else ending.time

    def _xid(self) -> _Shot:
        ending = self._ending()
        return self._at_xid(ending.xid, f"xid of {_describe(ending)}")

    def _odd_xid(self) -> _Shot:
        """Of subtransactions, of what wrote nothing, of what has not ended, of nothing."""
        trace = self._trace
        kinds: list[tuple[str, Sequence[int]]] = [
            ("of a released subtransaction", sorted(trace.released)),
            ("of a rolled-back subtransaction", sorted(trace.rolled_back)),
            ("of a transaction that wrote nothing", sorted(trace.silent)),
            ("of a transaction that never ended", sorted(trace.unfinished)),
            ("of a transaction that was prepared", sorted(trace.prepared.values())),
            ("of the future", [max(self._reachable_xids) + self._chance.randrange(500, 9000)]),
            ("of another history", [3, 600]),
        ]
        what, xids = self._chance.choice([kind for kind in kinds if kind[1]])
        return self._at_xid(self._chance.choice(xids), f"xid {what}")

    def _at_xid(self, xid: int, about: str) -> _Shot:
        given = xid
        if self._chance.random() < 0.2:
            given = self._chance.randrange(1, 9) << 32 | xid
        about = f"{about} ({given})"
        unreachable = xid not in self._coming_xids
        settings = {"recovery_target_xid": str(given)}
        if self._chance.random() < 0.3:
            settings["recovery_target_inclusive"] = "off"
            return _Shot(
                "xid", f"before {about}", ("--before-xid", str(given)), settings, unreachable
            )
        options = ("--to-xid", str(given))
        return self._in_or_exclusive("xid", about, options, settings, unreachable)

    def _lsn(self) -> _Shot:
        record = self._record()
        lsn, where = record.lsn, "at the start of"
        match self._chance.randrange(6):
            case 0:
                lsn, where = Lsn(lsn + 8), "inside"
            case 1:
                lsn, where = Lsn(lsn + record.length + -record.length % 8), "at the end of"
            case 2:
                lsn, where = Lsn(lsn - 1), "1 byte before"
            case 3:
                lsn, where = Lsn(lsn - lsn % 8192), "at the page of"
            case 4:
                lsn, where = Lsn(lsn - lsn % SEGMENT_SIZE), "at the segment of"
        return self._at_lsn(lsn, f"LSN {where} {record.rmgr} {record.operation} {record.lsn}")

    def _at_lsn(self, lsn: Lsn, about: str) -> _Shot:
        text = str(lsn).lower() if self._chance.random() < 0.3 else str(lsn)
        settings = {"recovery_target_lsn": text}
        options = ("--to-lsn", text)
        return self._in_or_exclusive("lsn", about, options, settings, lsn > self._end)

    def _name(self) -> _Shot:
        return self._at_name(self._chance.choice(self._points).name, "restore point", False)

    def _unknown_name(self) -> _Shot:
        if self._foreign_points and self._chance.random() < 0.5:
            name = self._chance.choice(self._foreign_points)
            return self._at_name(name, "restore point that is not on this timeline", True)
        return self._at_name("never made", "unknown restore point", True)

    def _at_name(self, name: str, about: str, unreachable: bool) -> _Shot:
        settings = {"recovery_target_name": name}
        return _Shot("name", f"{about} {name}", ("--to-name", name), settings, unreachable)

    def _too_late(self) -> _Shot:
        last = max(ending.time for ending in self._all_endings)
        match self._chance.randrange(3):
            case 0:
                return self._at(
                    last + timedelta(seconds=self._chance.random()), "time too late", True
                )
            case 1:
                return self._at(last, "time of the last ending")
            case _:
                return self._at_lsn(Lsn(self._end + SEGMENT_SIZE), "LSN too late")

    def _immediate(self) -> _Shot:
        settings = {"recovery_target": "immediate"}
        return _Shot("immediate", "immediate", ("--to", "immediate"), settings, False)

    def _latest(self) -> _Shot:
        return _Shot("latest", "latest", ("--to", "latest"), {}, False)

    def _in_or_exclusive(
        self,
        kind: TargetKind,
        about: str,
        options: tuple[str, ...],
        settings: dict[str, str],
        unreachable: bool | None,
    ) -> _Shot:
        if self._chance.random() < 0.5:
            return _Shot(kind, f"{about}, inclusive", options, settings, unreachable)
        settings = {**settings, "recovery_target_inclusive": "off"}
        return _Shot(kind, f"{about}, exclusive", (*options, "--exclusive"), settings, unreachable)

    def _ending(self) -> Ending:
        """Rare kinds are aimed at as often as common ones."""
        early = self._chance.random() < _BEFORE_CONSISTENCY
        endings = self._all_endings if early else self._late_endings
        kind = self._chance.choice(sorted({ending.kind for ending in endings}))
        return self._chance.choice([ending for ending in endings if ending.kind == kind])

    def _record(self) -> Record:
        early = self._chance.random() < _BEFORE_CONSISTENCY
        records = self._records if early else self._late_records
        rmgr = self._chance.choice(sorted({record.rmgr for record in records}))
        return self._chance.choice([record for record in records if record.rmgr == rmgr])


def _describe(ending: Ending) -> str:
    return f"{ending.kind} {ending.xid} at {ending.lsn}, {ending.time:%H:%M:%S.%f}"
