"""The facts a plan rests on, in words that can be compared: taken when planning, and again
under the run's lock before anything is touched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pgrescue.catalog.model import Backup
from pgrescue.plan.facts import Facts
from pgrescue.plan.model import Plan
from pgrescue.postgres.data_directory import read_control_file
from pgrescue.postgres.postmaster import find_postmaster
from pgrescue.survey.cluster import linked_wal_directory, tablespaces_of
from pgrescue.survey.filesystem import path_facts
from pgrescue.survey.manager import manager_state


def seen_now(facts: Facts) -> dict[str, str]:
    """What must not change between this plan and its run."""
    return observe(
        facts.destination.real_path,
        [place.real_path for place in facts.tablespace_destinations.values()],
        [path for backup in facts.chain for path in _files(backup)],
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
            for path in _backup_files(part.path, part.base_archive, part.wal_archive)
        ],
    )


def _files(backup: Backup) -> list[str]:
    details = backup.details
    assert details is not None
    return _backup_files(backup.path, details.base_archive, details.wal_archive)


def _backup_files(path: str, base_archive: str | None, wal_archive: str | None) -> list[str]:
    """The files whose change would mean that it is another backup by now."""
    if base_archive is None:
        return [f"{path}/backup_label"]
    return [f"{path}/{name}" for name in (base_archive, wal_archive) if name is not None]


def observe(
    data_directory: str, destinations: Sequence[str], files: Sequence[str]
) -> dict[str, str]:
    """What must still be the same when the plan runs.

    `data_directory` is where the restore goes, `destinations` the tablespaces' new places,
    `files` what will be read.
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
        "server": "running" if postmaster else "not running",
        "cluster manager": manager_state(real),
        "pg_wal": link.real_path if link else "in the data directory",
        "tablespaces": ", ".join(f"{t.oid} at {t.path}" for t in tablespaces_of(real)) or "none",
    }
    seen |= {f"directory {path}": _identity(path) for path in destinations}
    seen |= {f"file {path}": _stamp(path) for path in files}
    return seen


def differences(planned: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What changed since the plan was made, a sentence each."""
    return [
        f"{name}: was {value}, is {now.get(name, 'unknown')}"
        for name, value in planned.items()
        if now.get(name) != value
    ]


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
