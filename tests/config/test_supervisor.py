"""Which service a cluster's server belongs to."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgrescue.config.debian import DebianCluster
from pgrescue.config.supervisor import service_of_kind, unit_in_cgroup
from pgrescue.postgres.service import ServiceKind, ServiceSpec

DEBIAN = DebianCluster("15", "main", Path("/etc/postgresql/15/main"), Path("/srv/data"))


@pytest.mark.parametrize(
    ("cgroup", "unit"),
    [
        (
            "0::/system.slice/system-postgresql.slice/postgresql@15-main.service\n",
            "postgresql@15-main",
        ),
        ("1:name=systemd:/system.slice/postgresql-15.service\n0::/\n", "postgresql-15"),
        ("0::/user.slice/user-0.slice/session-3.scope\n", None),
        ("4:memory:/system.slice/other.service\n0::/\n", None),
        ("", None),
    ],
)
def test_the_unit_of_a_control_group(cgroup: str, unit: str | None) -> None:
    assert unit_in_cgroup(cgroup) == unit


@pytest.mark.parametrize(
    ("kind", "data_directory", "debian", "spec"),
    [
        ("systemd", "/srv/data", DEBIAN, ServiceSpec("systemd", unit="postgresql@15-main")),
        ("systemd", "/var/lib/pgsql/16/data", None, ServiceSpec("systemd", unit="postgresql-16")),
        ("systemd", "/srv/data", None, None),
        (
            "pg_ctlcluster",
            "/srv/data",
            DEBIAN,
            ServiceSpec("pg_ctlcluster", version="15", cluster="main"),
        ),
        ("pg_ctlcluster", "/srv/data", None, None),
        ("pg_ctl", "/srv/data", None, ServiceSpec("pg_ctl")),
        ("command", "/srv/data", DEBIAN, None),
    ],
)
def test_what_a_packages_layout_says_about_the_service(
    kind: ServiceKind, data_directory: str, debian: DebianCluster | None, spec: ServiceSpec | None
) -> None:
    assert service_of_kind(kind, Path(data_directory), debian) == spec
