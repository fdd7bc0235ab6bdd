"""Questions to this machine that show a cause instead of guessing it."""

from __future__ import annotations

from collections.abc import Iterator

from pgrescue.explain.host import FileSeen, Host
from pgrescue.explain.message import number_in
from pgrescue.explain.rule import Ask, Facts
from pgrescue.postgres.lsn import Lsn
from pgrescue.postgres.versions import major_of_wal_magic
from pgrescue.wal.segment import NAME, SegmentId

LIMITS = (
    "max_connections",
    "max_worker_processes",
    "max_wal_senders",
    "max_prepared_transactions",
    "max_locks_per_transaction",
)


def archived_segment(facts: Facts, host: Host) -> Iterator[str]:
    """What the archive has under the name of the file that the log speaks of."""
    name = facts.get("file", "")
    if not host.places.get("archive") or not name:
        return
    seen = host.archived(name)
    if seen is not None:
        yield f"the archive has {name}: {describe(seen)}"
        return
    yield f"the archive {host.places['archive']} has no {name}"
    later = host.next_archived(name) if NAME.fullmatch(name) else None
    if later is not None:
        yield f"it goes on at {later}: there is a gap"
    elif NAME.fullmatch(name):
        yield "and nothing later on that timeline: this is where the archive ends"


def not_fetched(facts: Facts, host: Host) -> Iterator[str]:
    """What recovery asked for, did not get, and the archive has."""
    positions = [Lsn.parse(facts[name]) for name in ("redo_from", "redo_to") if name in facts]
    wanted = [facts.get("file"), *(segment_at(lsn, facts, host) for lsn in positions)]
    for name in dict.fromkeys(filter(None, wanted)):
        if host.archived(name) is not None:
            yield from archived_segment({"file": name}, host)


def segment_of_record(facts: Facts, host: Host) -> Iterator[str]:
    """The segment that holds the LSN in the log, on the timeline that was recovered."""
    lsn = facts.get("lsn")
    name = segment_at(Lsn.parse(lsn), facts, host) if lsn else None
    if name is None:
        return
    yield f"{lsn} lies in {name}"
    yield from archived_segment({"file": name}, host)


def segment_at(lsn: Lsn, facts: Facts, host: Host) -> str | None:
    """The segment from which recovery read a position; None where the timeline is not known."""
    control = host.control()
    if control is None:
        return None
    size = control.wal_segment_size
    if "restored" in facts:
        timelines = {SegmentId.parse(facts["restored"], size).timeline}
    else:
        timelines = _timelines_at(lsn, facts.get("followed"), control.current_timeline, host)
    if len(timelines) != 1:
        return None
    return SegmentId.at(lsn, timelines.pop(), size).name(size)


def _timelines_at(lsn: Lsn, followed: str | None, current: int, host: Host) -> set[int]:
    """On which a position may lie: the one that was followed, else any that may have been."""
    histories = host.histories()
    if followed is not None:
        history = histories.get(int(followed))
        return {history.timeline_at(lsn)} if history else set()
    found = {
        history.timeline_at(lsn)
        for history in histories.values()
        if history.timeline == current or history.left_at(current) is not None
    }
    return found | {1} if current == 1 else found


def backup_label(_facts: Facts, host: Host) -> Iterator[str]:
    """Which WAL the backup that lies in the data directory begins with."""
    label = host.label()
    if label is None:
        return
    yield (
        f"backup_label asks for {label.start_segment} (start {label.start_lsn}, "
        f"timeline {label.timeline})"
    )
    yield from archived_segment({"file": label.start_segment}, host)


def lost_label(_facts: Facts, host: Host) -> Iterator[str]:
    """Whether the data directory is a base backup whose backup_label no server has read."""
    if host.file("backup_manifest") and not host.file("backup_label.old"):
        yield (
            "backup_manifest is there: a base backup, and those have a backup_label; but no "
            "backup_label.old, which recovery leaves behind when it has read one"
        )


def signal_file(_facts: Facts, host: Host) -> Iterator[str]:
    """Whether the data directory asks for recovery at all."""
    if not host.places.get("data"):
        return
    there = [name for name in ("recovery.signal", "standby.signal") if host.file(name)]
    yield f"{there[0]} is there" if there else "neither recovery.signal nor standby.signal is there"


def data_version(_facts: Facts, host: Host) -> Iterator[str]:
    """Which PostgreSQL wrote the data directory."""
    control = host.control()
    if control is not None and control.major is not None:
        yield f"pg_control was written by PostgreSQL {control.major}"


def identifiers(_facts: Facts, host: Host) -> Iterator[str]:
    """The system identifier of the data directory."""
    control = host.control()
    if control is not None:
        yield f"pg_control has the system identifier {control.system_identifier}"


def forks(facts: Facts, host: Host) -> Iterator[str]:
    """Where the timeline that was asked for left its parents."""
    asked = facts.get("timeline")
    if asked is None:
        return
    history = host.histories().get(int(asked))
    if history is None:
        if host.places.get("archive"):
            yield f"the archive has no {int(asked):08X}.history"
        return
    for ancestor in history.ancestors:
        yield f"timeline {asked} left timeline {ancestor.timeline} at {ancestor.switch_lsn}"


def limits(_facts: Facts, host: Host) -> Iterator[str]:
    """The settings that must not be lower than the primary's."""
    control = host.control()
    for name in LIMITS:
        given = host.settings(name)
        if not given:
            continue
        value, where = given[-1]
        wanted = getattr(control.limits, name) if control else None
        number = number_in(value)
        if wanted is not None and number is not None and number < wanted:
            yield f"{name} is {value} in {where}, and was {wanted} on the primary"


def setting(name: str) -> Ask:
    """Where a setting comes from."""

    def ask(_facts: Facts, host: Host) -> Iterator[str]:
        for value, where in host.settings(name):
            yield f"{where} sets {name} = {value}"

    return ask


def named_setting(facts: Facts, host: Host) -> Iterator[str]:
    """Where the setting that the log speaks of comes from; its value may be a secret."""
    for _, where in host.settings(facts.get("setting", "")):
        yield f"{where} sets {facts['setting']}"


def targets(_facts: Facts, host: Host) -> Iterator[str]:
    """Every recovery target that a configuration file sets."""
    for kind in ("", "_lsn", "_name", "_time", "_xid"):
        for value, where in host.settings(f"recovery_target{kind}"):
            if value:
                yield f"{where} sets recovery_target{kind} = {value}"


def place(group: str) -> Ask:
    """A file or directory that the log names."""

    def ask(facts: Facts, host: Host) -> Iterator[str]:
        path = facts.get(group)
        if path is None or not host.places.get("data"):
            return
        seen = host.file(path)
        yield f"{path}: {describe(seen)}" if seen else f"{path} is not there"

    return ask


def space(group: str) -> Ask:
    """How much room a file system has left."""

    def ask(facts: Facts, host: Host) -> Iterator[str]:
        return _space(facts.get(group, ""), host)

    return ask


def space_for_wal(_facts: Facts, host: Host) -> Iterator[str]:
    """How much room the file system of pg_wal has left, which may be another one."""
    return _space("pg_wal", host)


def _space(path: str, host: Host) -> Iterator[str]:
    free = host.free(path)
    if free is not None:
        where, (size, inodes, quota) = path or "the data directory", free
        files = "" if inodes is None else f" and {inodes:,} inodes"
        by = f" (by the quota of {quota})" if quota else ""
        yield f"{where} has {size:,} bytes{files} free{by}"


def process(facts: Facts, host: Host) -> Iterator[str]:
    """Who the process is that the log names."""
    pid = number_in(facts.get("pid", ""))
    if pid is None or not host.places.get("data"):
        return
    command = host.process(pid)
    yield f"process {pid} is: {command}" if command else f"no process {pid} is alive"


def magic(facts: Facts, _host: Host) -> Iterator[str]:
    """Whose WAL page a magic number belongs to."""
    number = int(facts.get("magic", "0"), 16)
    major = major_of_wal_magic(number)
    if major is not None:
        yield f"{number:04X} is written by PostgreSQL {major}"
    elif number == 0:
        yield "0000: the file begins with zeros"
    elif number in _MAGICS:
        yield f"{number:04X} is how {_MAGICS[number]} begins"


_MAGICS = {
    0x8B1F: "a gzip file",
    0xB528: "a zstd file",
    0x2204: "an lz4 file",
    0x37FD: "an xz file",
}


def describe(seen: FileSeen) -> str:
    """A file in a few words."""
    what = "directory" if seen.is_directory else f"{seen.size:,} bytes"
    kind = f", {seen.kind}" if seen.kind else ""
    return f"{what}{kind}, mode {seen.mode:04o}, owner {seen.owner}"
