"""From what was detected and what was asked for to a configuration that can be written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from pgrescue.config.debian import debian_cluster_of
from pgrescue.config.detect import Detection
from pgrescue.config.errors import ConfigError
from pgrescue.config.load import parse_config
from pgrescue.config.model import ClusterConfig, Config
from pgrescue.config.paths import check_paths
from pgrescue.config.supervisor import service_of_kind
from pgrescue.config.write import render_config
from pgrescue.errors import UsageError
from pgrescue.postgres.service import ServiceKind, ServiceSpec

_HEADER = "# pgrescue's configuration. `pgrescue doctor` says whether it fits.\n\n"


@dataclass(frozen=True, slots=True)
class Choices:
    """What the operator said; None and an empty tuple leave the detected value."""

    service: ServiceKind | None = None
    backups: tuple[Path, ...] = ()
    wal_archive: Path | None = None


def apply_choices(detection: Detection, choices: Choices) -> ClusterConfig:
    """The detected cluster with what was chosen; raises `UsageError` for a service that needs more.

    Relative paths are read from the working directory.
    """
    cluster = detection.cluster
    if choices.service is not None:
        cluster = replace(cluster, service=chosen_service(cluster, choices.service))
    if choices.backups:
        backups = tuple(path.absolute() for path in choices.backups)
        cluster = replace(cluster, backups=backups)
    if choices.wal_archive is not None:
        cluster = replace(cluster, wal_archive=choices.wal_archive.absolute(), restore_command=None)
    return cluster


def chosen_service(cluster: ClusterConfig, kind: ServiceKind) -> ServiceSpec:
    """A service of this kind, from what was detected; raises `UsageError` if fields are missing."""
    if cluster.service.kind == kind:
        return cluster.service
    debian = debian_cluster_of(cluster.data_directory)
    spec = service_of_kind(kind, cluster.data_directory, debian)
    if spec is not None:
        return spec
    needed = {
        "systemd": "the name of its unit",
        "pg_ctlcluster": "a cluster of Debian's layout in /etc/postgresql",
        "command": "the commands that start it, stop it and say whether it runs",
    }[kind]
    raise UsageError(
        f"Service kind '{kind}' cannot be filled in.",
        f"It needs {needed}, which could not be found out.",
        next_steps=(
            "run pgrescue init on a terminal, where it asks",
            f"or choose --service pg_ctl, then edit [clusters.{cluster.name}.service]",
        ),
    )


def configuration_text(cluster: ClusterConfig, output: Path) -> str:
    """The new file's text; raises `ConfigError` if it would not be read back."""
    text = _HEADER + render_config(Config(path=output, clusters={cluster.name: cluster}))
    parse_config(text, output)
    return text


def path_warnings(cluster: ClusterConfig, output: Path) -> tuple[str, ...]:
    """What is wrong with the cluster's paths; the file may be written all the same."""
    try:
        check_paths(cluster, output)
    except ConfigError as error:
        return tuple(f"{problem.key}: {problem.message}" for problem in error.problems)
    return ()
