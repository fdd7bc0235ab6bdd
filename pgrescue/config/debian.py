"""Debian's and Ubuntu's layout: `/etc/postgresql/VERSION/CLUSTER` (package postgresql-common)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pgrescue.postgres.conf_file import parse_assignments

ETC = Path("/etc/postgresql")
UMBRELLA_UNIT = "postgresql"
"""The unit of every cluster at once: `postgresql@.service` is `PartOf` it, and stops with it."""


@dataclass(frozen=True, slots=True)
class DebianCluster:
    """One cluster as postgresql-common knows it."""

    version: str
    name: str
    config_directory: Path
    data_directory: Path

    @property
    def unit(self) -> str:
        """Its systemd unit, without `.service`."""
        return f"postgresql@{self.version}-{self.name}"


def debian_clusters(etc: Path = ETC) -> list[DebianCluster]:
    """Every cluster with a `postgresql.conf` that can be read and names its data directory."""
    found = []
    for file in sorted(etc.glob("*/*/postgresql.conf")):
        try:
            settings = parse_assignments(file.read_text(errors="replace"))
        except OSError:
            continue
        if "data_directory" in settings:
            home = file.parent
            data_directory = Path(settings["data_directory"])
            found.append(DebianCluster(home.parent.name, home.name, home, data_directory))
    return found


def debian_cluster_of(data_directory: Path, etc: Path = ETC) -> DebianCluster | None:
    """The Debian cluster with this data directory, which need not exist any more."""
    wanted = os.path.realpath(data_directory)
    for cluster in debian_clusters(etc):
        if os.path.realpath(cluster.data_directory) == wanted:
            return cluster
    return None
