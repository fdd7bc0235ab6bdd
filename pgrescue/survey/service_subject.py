"""Whose server a configured service is: one that stops another's is never asked to."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from pgrescue.config.debian import UMBRELLA_UNIT, DebianCluster, debian_clusters
from pgrescue.config.supervisor import main_pid, systemd_runs, unit_of
from pgrescue.plan.facts import ForeignService
from pgrescue.postgres.postmaster import Postmaster, served_directories, working_directory
from pgrescue.postgres.service import ServiceSpec


def foreign_service(
    spec: ServiceSpec, data_directory: Path, postmaster: Postmaster | None
) -> ForeignService | None:
    """What shows that a service is not, or not only, that of this data directory's server.

    None if nothing does. What the shell commands of the kind `command` do is not known.
    """
    clusters = debian_clusters()
    found = _another_debian_cluster(spec, data_directory, clusters)
    if found is not None or spec.kind != "systemd" or not systemd_runs():
        return found
    if clusters and _unit(spec) == UMBRELLA_UNIT:
        # It has no process of its own, and stops this cluster alone.
        spec = replace(spec, unit=clusters[0].unit)
    return _another_unit(_unit(spec), data_directory, postmaster)


def supervising_unit(spec: ServiceSpec, postmaster: Postmaster | None) -> str | None:
    """The systemd unit that runs a server which is stopped and started by other means."""
    if postmaster is None or spec.kind == "systemd" or not systemd_runs():
        return None
    unit = unit_of(postmaster.pid)
    if unit is None or main_pid(unit) != postmaster.pid:
        return None
    if spec.kind == "pg_ctlcluster" and unit == f"postgresql@{spec.version}-{spec.cluster}":
        return None if os.geteuid() == 0 else unit  # for root it hands its requests to systemd
    is_its_command = any("systemctl" in (line or "") for line in (spec.stop, spec.start))
    return None if is_its_command else unit


def _another_debian_cluster(
    spec: ServiceSpec, own: Path, clusters: Sequence[DebianCluster]
) -> ForeignService | None:
    others = [
        cluster
        for cluster in clusters
        if not _is_same(cluster.data_directory, own) and _acts_on(spec, cluster)
    ]
    if not others:
        return None
    directories = [os.path.realpath(cluster.data_directory) for cluster in others]
    called = (
        f"The unit {_unit(spec)}"
        if spec.kind == "systemd"
        else f"The cluster {spec.version} {spec.cluster} of pg_ctlcluster"
    )
    return ForeignService(
        f"{called} is that of the server on {', '.join(directories)}",
        forbids=not _served().isdisjoint(directories),
    )


def _acts_on(spec: ServiceSpec, cluster: DebianCluster) -> bool:
    if spec.kind == "pg_ctlcluster":
        return (spec.version, spec.cluster) == (cluster.version, cluster.name)
    return spec.kind == "systemd" and _unit(spec) in (cluster.unit, UMBRELLA_UNIT)


def _another_unit(unit: str, own: Path, postmaster: Postmaster | None) -> ForeignService | None:
    main = main_pid(unit)
    if postmaster is not None:
        if main == postmaster.pid:
            return None
        its = unit_of(postmaster.pid)
        if its is not None and its != unit and main_pid(its) == postmaster.pid:
            who = f"The server (pid {postmaster.pid})"
            return ForeignService(f"{who} is that of the unit {its}, not of {unit}", forbids=True)
    place = None if main is None else working_directory(main)
    if place is None or place not in _served() or _is_same(Path(place), own):
        return None
    return ForeignService(f"The unit {unit} runs the server on {place} (pid {main})", forbids=True)


def _is_same(one: Path, other: Path) -> bool:
    """Also through links and bind mounts."""
    with suppress(OSError):
        return one.samefile(other)
    return os.path.realpath(one) == os.path.realpath(other)


def _unit(spec: ServiceSpec) -> str:
    return spec.unit_name.removesuffix(".service")


def _served() -> set[str]:
    return {os.path.realpath(path) for path in served_directories()}
