"""The facts a plan rests on, in words that can be compared: taken when planning, and again
under the run's lock before anything is touched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pgrescue.catalog.model import Backup
from pgrescue.plan.facts import Facts, PathFacts
from pgrescue.plan.model import Plan, Space
from pgrescue.postgres.data_directory import read_control_file
from pgrescue.postgres.manifest import NAME as MANIFEST
from pgrescue.postgres.postmaster import find_postmaster
from pgrescue.survey.cluster import linked_wal_directory, tablespaces_of
from pgrescue.survey.filesystem import path_facts
from pgrescue.survey.free_space import free_at
from pgrescue.survey.manager import manager_state

SERVER = "server"
"""The fact whether one runs: a run's own first step changes it."""


def seen_now(facts: Facts) -> dict[str, str]:
    """What must not change between this plan and its run."""
    in_place = facts.destination.real_path == facts.cluster.directory.real_path
    return observe(
        facts.destination.real_path,
        [place.real_path for place in facts.tablespace_destinations.values()],
        [path for backup in facts.chain for path in _files(backup)],
        facts.cluster.config_directory if in_place else None,
    )


def seen_again(plan: Plan) -> dict[str, str]:
    """The same facts for a plan that is about to run."""
    work = plan.work
    return observe(
        work.data_directory,
        [str(path_facts(Path(item.destination)).real_path) for item in work.tablespaces],
        [
            path
            for part in work.chain
            for path in _backup_files(
                part.path,
                (part.base_archive, part.wal_archive),
                {item.oid: item.archive for item in part.tablespaces},
                has_manifest=part.has_manifest,
            )
        ],
        work.config_directory,
    )


def _files(backup: Backup) -> list[str]:
    details = backup.details
    assert details is not None
    return _backup_files(
        backup.path,
        (details.base_archive, details.wal_archive),
        details.tablespace_archives,
        has_manifest=backup.has_manifest,
    )


def _backup_files(
    path: str,
    archives: tuple[str | None, str | None],
    tablespaces: Mapping[int, str],
    *,
    has_manifest: bool,
) -> list[str]:
    """The files whose change would mean that it is another backup by now."""
    manifest = [MANIFEST] if has_manifest else []
    if archives[0] is None:
        names = ["backup_label", *manifest]
    else:
        names = [*filter(None, archives), *(tablespaces[oid] for oid in sorted(tablespaces))]
        names += manifest
    return [f"{path}/{name}" for name in names]


def observe(
    data_directory: str,
    destinations: Sequence[str],
    files: Sequence[str],
    config_directory: str | None,
) -> dict[str, str]:
    """What must still be the same when the plan runs.

    `data_directory` is where the restore goes, `destinations` the tablespaces' new places,
    `files` what will be read, `config_directory` where the cluster's configuration is kept if that
    is outside.
    """
    real = Path(data_directory)
    place = path_facts(real)
    control, _ = read_control_file(real)
    postmaster = find_postmaster(real) if place.exists else None
    link = linked_wal_directory(real)
    seen = {
        f"directory {data_directory}": _identity(data_directory),
        "system identifier": control.system_identifier if control else "unknown",
        "timeline": str(control.current_timeline) if control else "unknown",
        "owner and mode": _owner(place),
        SERVER: "running" if postmaster else "not running",
        "cluster manager": manager_state(real),
        "pg_wal": link.real_path if link else "in the data directory",
        "tablespaces": ", ".join(f"{t.oid} at {t.path}" for t in tablespaces_of(real)) or "none",
    }
    seen |= {f"directory {path}": _identity(path) for path in destinations}
    configuration = [f"{config_directory}/postgresql.conf"] if config_directory else []
    seen |= {f"file {path}": _stamp(path) for path in (*configuration, *files)}
    return seen


def shortages(space: Sequence[Space]) -> list[str]:
    """File systems that had room for the plan and have it no more, a sentence each."""
    found = []
    for item in space:
        free = free_at(Path(item.filesystem), item.writer).bytes
        if free < item.needed_bytes <= item.free_bytes:
            found.append(
                f"{item.filesystem} had {item.free_bytes} bytes free, has {free}, and needs "
                f"{item.needed_bytes}"
            )
    return found


def differences(planned: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What changed since the plan was made, a sentence each."""
    return [
        f"{name}: was {value}, is {now.get(name, 'unknown')}"
        for name, value in planned.items()
        if now.get(name) != value
    ]


def _owner(place: PathFacts) -> str:
    if place.mode is None:
        return "missing"
    return f"{place.uid}:{place.gid} {place.mode:04o}"


def _identity(path: str) -> str:
    facts = path_facts(Path(path))
    if not facts.exists:
        return "missing"
    kind = "empty" if facts.is_empty else "filled"
    return f"{kind} {facts.device}:{facts.inode}"


def _stamp(path: str) -> str:
    try:
        status = Path(path).stat()
    except OSError as error:
        return error.strerror or "unreadable"
    return f"{status.st_size} bytes of {status.st_mtime_ns}"
