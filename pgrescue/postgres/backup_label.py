"""`backup_label` and the archive's `.backup` history files.

Written by `build_backup_content` in `src/backend/access/transam/xlogbackup.c` (12 to 14:
`xlog.c`). The times carry a zone abbreviation that may be ambiguous (CST, IST), so they are
resolved against a moment that is known in UTC.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pgrescue.errors import InvalidFormat
from pgrescue.postgres.lsn import Lsn

_LINE = re.compile(r"^([A-Z ]+): (.*)$")
_POSITION = re.compile(r"([0-9A-F]+/[0-9A-F]+) \(file ([0-9A-F]{24})\)")
_TIME = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(?: (\S+))?")
_UTC_NAMES = frozenset({"UTC", "GMT", "Z", "UCT"})


@dataclass(frozen=True, slots=True)
class LabelTime:
    """A wall-clock time as the server's `log_timezone` showed it."""

    naive: datetime
    zone: str

    def in_utc(self, near: datetime | None = None) -> datetime | None:
        """This time in UTC, by its zone's name if that is plain, else by `near`.

        `near` is a moment in UTC within a few minutes of this time (a file's time stamp);
        the zone's offset is what lies between the two, rounded to a quarter of an hour.
        """
        stamp = self.naive.replace(tzinfo=UTC)
        if self.zone in _UTC_NAMES:
            return stamp
        if near is None:
            return None
        quarters = round((stamp - near) / timedelta(minutes=15))
        if abs(quarters) > 15 * 4:
            return None
        return stamp - quarters * timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class BackupLabel:
    """One base backup in its server's own words."""

    start_lsn: Lsn
    start_segment: str
    checkpoint_lsn: Lsn
    timeline: int
    from_standby: bool
    started: LabelTime | None
    label: str
    stop_lsn: Lsn | None
    """Only in the archive's `.backup` history file."""
    stopped: LabelTime | None
    incremental_from_lsn: Lsn | None
    incremental_from_timeline: int | None


def parse_backup_label(text: str) -> BackupLabel:
    """Read a `backup_label` or a `.backup` history file; raises `InvalidFormat`."""
    values: dict[str, str] = {}
    for line in text.split("\n"):
        match = _LINE.match(line)
        if match is not None:
            values.setdefault(match[1], match[2])
    start = _POSITION.fullmatch(values.get("START WAL LOCATION", ""))
    if start is None or "CHECKPOINT LOCATION" not in values:
        raise InvalidFormat(
            "backup_label is damaged.", "START WAL LOCATION or CHECKPOINT LOCATION is missing."
        )
    stop = _POSITION.fullmatch(values.get("STOP WAL LOCATION", ""))
    from_lsn = values.get("INCREMENTAL FROM LSN")
    from_timeline = values.get("INCREMENTAL FROM TLI")
    return BackupLabel(
        start_lsn=Lsn.parse(start[1]),
        start_segment=start[2],
        checkpoint_lsn=Lsn.parse(values["CHECKPOINT LOCATION"]),
        timeline=_timeline(values, start[2]),
        from_standby=values.get("BACKUP FROM") == "standby",
        started=_label_time(values.get("START TIME")),
        label=values.get("LABEL", ""),
        stop_lsn=Lsn.parse(stop[1]) if stop else None,
        stopped=_label_time(values.get("STOP TIME")),
        incremental_from_lsn=Lsn.parse(from_lsn) if from_lsn else None,
        incremental_from_timeline=int(from_timeline) if from_timeline else None,
    )


def _timeline(values: dict[str, str], segment: str) -> int:
    stated = values.get("START TIMELINE", "")
    return int(stated) if stated.isdigit() else int(segment[:8], 16)


def _label_time(text: str | None) -> LabelTime | None:
    match = _TIME.fullmatch(text or "")
    if match is None:
        return None
    # Naive on purpose: the zone is an abbreviation, resolved later by LabelTime.in_utc.
    naive = datetime.strptime(match[1], "%Y-%m-%d %H:%M:%S")  # noqa: DTZ007
    return LabelTime(naive, match[2] or "")
