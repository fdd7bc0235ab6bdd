"""Which clusters there seem to be on this host."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pgrescue.config.debian import debian_clusters
from pgrescue.errors import UsageError
from pgrescue.postgres.postmaster import find_postmaster

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A data directory, and a sentence on how it was found."""

    data_directory: Path
    origin: str


def find_candidates() -> list[Candidate]:
    """Clusters of running servers, then Debian's; each data directory once."""
    found: dict[str, Candidate] = {}
    for directory in _working_directories():
        server = find_postmaster(directory)
        if server is not None:
            origin = f"a server is running there (process {server.pid})"
            found[os.path.realpath(directory)] = Candidate(directory, origin)
    for cluster in debian_clusters():
        origin = f"named in {cluster.config_directory}/postgresql.conf"
        candidate = Candidate(cluster.data_directory, origin)
        found.setdefault(os.path.realpath(cluster.data_directory), candidate)
    return list(found.values())


def only_candidate() -> Candidate:
    """The one cluster of this host; raises `UsageError` if there is none, or a choice."""
    candidates = find_candidates()
    if not candidates:
        raise UsageError(
            "No cluster was found on this host.",
            "No PostgreSQL server is running here, and /etc/postgresql names no cluster.",
            next_steps=("name it: pgrescue init --data-directory DIR",),
        )
    if len(candidates) > 1:
        known = "".join(f"\n    {item.data_directory}: {item.origin}" for item in candidates)
        raise UsageError(
            f"There are {len(candidates)} clusters on this host.",
            known,
            next_steps=(
                f"name one: pgrescue init --data-directory {candidates[0].data_directory}",
            ),
        )
    return candidates[0]


def _working_directories() -> list[Path]:
    """Data directories among the working directories of this host's processes."""
    found = set()
    for entry in os.listdir(_PROC):
        if entry.isdigit():
            try:
                directory = os.readlink(_PROC / entry / "cwd")
                os.stat(os.path.join(directory, "PG_VERSION"))
            except OSError:
                continue  # the process is gone, not ours to look at, or elsewhere
            found.add(directory)
    return [Path(directory) for directory in sorted(found)]
