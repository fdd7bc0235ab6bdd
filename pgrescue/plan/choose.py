"""Which timeline to follow, and which backup reaches the target soonest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from pgrescue.catalog.model import Backup
from pgrescue.errors import Refused
from pgrescue.plan.target import Target
from pgrescue.postgres.control_file import ControlFile
from pgrescue.postgres.history_file import TimelineHistory
from pgrescue.postgres.lsn import Lsn
from pgrescue.wal.archive import history_of, newest_timeline

Histories = Mapping[int, TimelineHistory]


def choose_timeline(
    target: Target, backup: Backup, control: ControlFile | None, histories: Histories
) -> int:
    """The numeric timeline to recover along.

    Asked for: that one. Otherwise the cluster's own, if the backup lies on its line of descent;
    without a cluster, where `latest` would lead.
    """
    known = dict(histories)
    own = backup.timeline or 1
    match target.timeline:
        case int(number):
            return number
        case "current":
            return own
        case "latest":
            return newest_timeline(own, known)
    if control is not None:
        wanted = control.current_timeline
        return wanted if is_on_branch(backup, wanted, known) else own
    newest = newest_timeline(own, known)
    return newest if is_on_branch(backup, newest, known) else own


def is_on_branch(backup: Backup, timeline: int, histories: Histories) -> bool:
    """Whether a recovery from this backup can follow that timeline.

    Its end must lie before the point where the timeline left the backup's own.
    """
    history = history_of(timeline, dict(histories))
    if backup.timeline == timeline:
        return True
    left = history.left_at(backup.timeline or 0)
    end = backup.stop_lsn or backup.start_lsn
    return left is not None and end is not None and end <= left


def choose_backups(
    backups: Sequence[Backup],
    target: Target,
    control: ControlFile | None,
    histories: Histories,
    *,
    wal_is_known: bool,
) -> list[Backup]:
    """The usable backups that end before the target, the newest first; `Refused` if none does.

    `wal_is_known`: the WAL will tell whether the target is on the way from one of them.
    """
    usable = [backup for backup in backups if backup.usable and _fits(backup, control)]
    if not usable:
        raise _no_usable(backups, control)
    on_branch = _on_wanted_branch(usable, target, control, histories)
    if not on_branch:
        raise _off_branch(target, histories)
    early = [backup for backup in on_branch if ends_before(backup, target)]
    if not early:
        raise _too_early(on_branch, target)
    ordered = sorted(early, key=lambda backup: backup.stop_lsn or backup.start_lsn or Lsn(0))
    # The position of a restore point, or of an old transaction, is not known from the files:
    # only the oldest backup surely lies before it.
    if not wal_is_known and _is_position_unknown(ordered[-1], target):
        return ordered[:1]
    return ordered[::-1]


def _on_wanted_branch(
    usable: Sequence[Backup], target: Target, control: ControlFile | None, histories: Histories
) -> list[Backup]:
    """The backups on the line that the cluster is on; only if there are none, all with a line.

    A backup of a line that an earlier recovery has left may be newer than those of the cluster's.
    """
    if target.timeline is None:
        wanted = (
            control.current_timeline
            if control is not None
            else max(newest_timeline(backup.timeline or 1, dict(histories)) for backup in usable)
        )
        fitting = [backup for backup in usable if is_on_branch(backup, wanted, histories)]
        if fitting:
            return fitting
    return [
        backup
        for backup in usable
        if is_on_branch(backup, choose_timeline(target, backup, control, histories), histories)
    ]


def ends_before(backup: Backup, target: Target) -> bool:
    """Whether the backup's end lies before the target, as far as the files can tell."""
    match target.kind:
        case "time":
            end = backup.stopped_at or backup.started_at
            return end is None or target.time is None or end <= target.time
        case "lsn":
            return backup.stop_lsn is None or target.lsn is None or backup.stop_lsn <= target.lsn
        case "xid":
            control = backup.details.control if backup.details else None
            return control is None or target.xid is None or is_newer(target.xid, control.next_xid)
        case _:
            return True


def is_newer(xid: int, next_xid: int) -> bool:
    """Whether `xid` was still to be given out when the next one was `next_xid`.

    Ids without an epoch are compared in the circle of 2^32, as PostgreSQL compares them.
    """
    if xid >> 32:
        return xid >= next_xid
    return (xid - next_xid) & 0xFFFFFFFF < 0x80000000


def _is_position_unknown(newest: Backup, target: Target) -> bool:
    if target.kind == "name":
        return True
    without_control = newest.details is None or newest.details.control is None
    return target.kind == "xid" and without_control


def _fits(backup: Backup, control: ControlFile | None) -> bool:
    known = control is not None and backup.system_identifier is not None
    return not known or control is None or backup.system_identifier == control.system_identifier


def _no_usable(backups: Sequence[Backup], control: ControlFile | None) -> Refused:
    if not backups:
        return Refused(
            "There is no backup.",
            "Nothing was found under the configured backup directories.",
            next_steps=("check 'backups' in the configuration", "pgrescue catalog"),
        )
    foreign = [backup for backup in backups if backup.usable]
    if foreign and control is not None:
        return Refused(
            "No usable backup belongs to this cluster.",
            f"The cluster's system identifier is {control.system_identifier}; "
            f"{foreign[0].id} has {foreign[0].system_identifier}.",
            next_steps=("pgrescue catalog", "restore it as a clone with --backup ID --into DIR"),
        )
    reasons = "; ".join(
        f"{backup.id}: {backup.problems[0].message}" for backup in backups if backup.problems
    )
    return Refused("No backup is usable.", reasons, next_steps=("pgrescue catalog",))


def _off_branch(target: Target, histories: Histories) -> Refused:
    known = ", ".join(str(number) for number in sorted({1, *histories}))
    return Refused(
        f"No backup leads to timeline {target.timeline}.",
        "A backup leads to its own timeline and to those that left it after the backup's end; "
        f"the archive has the timelines {known}.",
        next_steps=(
            "choose another with --timeline N (decimal; file names are hexadecimal)",
            "pgrescue show ID tells a backup's own timeline",
        ),
    )


def _too_early(candidates: Sequence[Backup], target: Target) -> Refused:
    ends = [end for backup in candidates if (end := backup.stopped_at or backup.started_at)]
    positions = [backup.stop_lsn for backup in candidates if backup.stop_lsn is not None]
    return Refused(
        f"No backup reaches {target}.",
        "A backup can only be recovered to moments after its own end"
        + _earliest(target, ends, positions),
        next_steps=("choose a later target", "pgrescue catalog shows each backup's window"),
    )


def _earliest(target: Target, ends: Sequence[datetime], positions: Sequence[Lsn]) -> str:
    if target.kind == "lsn" and positions:
        return f"; the earliest ends at LSN {min(positions)}."
    if ends:
        return f"; the earliest ends at {min(ends):%Y-%m-%d %H:%M:%S+00:00}."
    return "."
