"""Whose server a configured service is: one that stops another's is never asked to."""

from __future__ import annotations

import os
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
    own = os.path.realpath(data_directory)
    found = _another_debian_cluster(spec, own)
    if found is None and spec.kind == "systemd" and systemd_runs():
        found = _another_unit(_unit(spec), own, postmaster)
    return found


def supervising_unit(spec: ServiceSpec, postmaster: Postmaster | None) -> str | None:
    """The systemd unit that runs a server which is stopped and started by other means."""
    if postmaster is None or spec.kind == "systemd" or not systemd_runs():
        return None
    unit = unit_of(postmaster.pid)
    return unit if unit is not None and main_pid(unit) == postmaster.pid else None


def _another_debian_cluster(spec: ServiceSpec, own: str) -> ForeignService | None:
    others = [
        cluster
        for cluster in debian_clusters()
        if os.path.realpath(cluster.data_directory) != own and _acts_on(spec, cluster)
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


def _another_unit(unit: str, own: str, postmaster: Postmaster | None) -> ForeignService | None:
    main = main_pid(unit)
    if postmaster is not None and main != postmaster.pid:
        its = unit_of(postmaster.pid)
        if its is not None and its != unit and main_pid(its) == postmaster.pid:
            who = f"The server (pid {postmaster.pid})"
            return ForeignService(f"{who} is that of the unit {its}, not of {unit}", forbids=True)
    place = None if main is None else working_directory(main)
    if place is None or place == own or place not in _served():
        return None
    return ForeignService(f"The unit {unit} runs the server on {place} (pid {main})", forbids=True)


def _unit(spec: ServiceSpec) -> str:
    return (spec.unit or UMBRELLA_UNIT).removesuffix(".service")


def _served() -> set[str]:
    return {os.path.realpath(path) for path in served_directories()}
