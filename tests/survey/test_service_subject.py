"""Whose server a configured service stops; systemd and Debian's clusters are hand-made."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pgrescue.config.debian import DebianCluster
from pgrescue.postgres.postmaster import Postmaster
from pgrescue.postgres.service import ServiceSpec
from pgrescue.survey import service_subject
from pgrescue.survey.service_subject import foreign_service, supervising_unit

OWN, OTHER = Path("/srv/main"), Path("/srv/other")
SERVER = Postmaster(10, str(OWN), 5432, "/tmp", None, "ready")
MAIN, SECOND = (
    DebianCluster("15", name, Path(f"/etc/postgresql/15/{name}"), place)
    for name, place in (("main", OWN), ("second", OTHER))
)


class Machine:
    """What it would answer; units by the process that they run as their main one."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.served: list[str] = []
        self.clusters: list[DebianCluster] = []
        self.units: dict[str, int] = {}
        self.places: dict[int, str] = {10: str(OWN), 20: str(OTHER)}
        self.has_systemd = True
        patch.setattr(service_subject, "served_directories", lambda: self.served)
        patch.setattr(service_subject, "debian_clusters", lambda: self.clusters)
        patch.setattr(service_subject, "systemd_runs", lambda: self.has_systemd)
        patch.setattr(service_subject, "main_pid", self.units.get)
        patch.setattr(service_subject, "unit_of", self._unit_of)
        patch.setattr(service_subject, "working_directory", self.places.get)

    def _unit_of(self, pid: int) -> str | None:
        return next((unit for unit, main in self.units.items() if main == pid), None)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


SERVICES_OF_ANOTHER = [
    ServiceSpec("pg_ctlcluster", version="15", cluster="second"),
    ServiceSpec("systemd", unit="postgresql@15-second"),
    ServiceSpec("systemd", unit="postgresql@15-second.service"),
    ServiceSpec("systemd", unit="postgresql"),
    ServiceSpec("systemd"),
]


@pytest.mark.parametrize("spec", SERVICES_OF_ANOTHER, ids=str)
def test_another_debian_cluster_that_runs_forbids(machine: Machine, spec: ServiceSpec) -> None:
    machine.clusters = [MAIN, SECOND]
    machine.served = [str(OTHER)]
    found = foreign_service(spec, OWN, SERVER)
    assert found is not None
    assert found.forbids
    assert str(OTHER) in found.evidence
    machine.served = [str(OWN)]
    found = foreign_service(spec, OWN, SERVER)
    assert found is not None
    assert not found.forbids, "nothing that runs would be stopped"


@pytest.mark.parametrize(
    "spec",
    [
        ServiceSpec("pg_ctlcluster", version="15", cluster="main"),
        ServiceSpec("systemd", unit="postgresql@15-main"),
        ServiceSpec("pg_ctl"),
        ServiceSpec("command", stop="postgresql"),
    ],
    ids=str,
)
def test_its_own_does_not(machine: Machine, spec: ServiceSpec) -> None:
    machine.clusters = [MAIN, SECOND]
    machine.served = [str(OWN), str(OTHER)]
    assert foreign_service(spec, OWN, SERVER) is None


def test_the_unit_of_all_clusters_where_there_is_but_one(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.clusters = [MAIN]
    machine.units["postgresql@15-main"] = 10
    assert foreign_service(ServiceSpec("systemd", unit="postgresql"), OWN, SERVER) is None
    assert foreign_service(ServiceSpec("systemd"), OWN, None) is None
    machine.units = {"pg-by-hand": 10}
    monkeypatch.setattr(service_subject, "main_pid", machine.units.get)
    found = foreign_service(ServiceSpec("systemd", unit="postgresql"), OWN, SERVER)
    assert found is not None
    assert "that of the unit pg-by-hand" in found.evidence


def test_a_unit_that_runs_another_server(machine: Machine) -> None:
    machine.units["pg-other"] = 20
    machine.served = [str(OWN), str(OTHER)]
    found = foreign_service(ServiceSpec("systemd", unit="pg-other"), OWN, None)
    assert found is not None
    assert found.forbids
    assert "pg-other runs the server on /srv/other" in found.evidence


def test_a_server_of_another_unit(machine: Machine) -> None:
    machine.units["pg-main"] = 10
    found = foreign_service(ServiceSpec("systemd", unit="pg-typo"), OWN, SERVER)
    assert found is not None
    assert "that of the unit pg-main, not of pg-typo" in found.evidence
    machine.has_systemd = False
    assert foreign_service(ServiceSpec("systemd", unit="pg-typo"), OWN, SERVER) is None


def test_a_unit_by_another_name_of_its_own(machine: Machine) -> None:
    """An alias: systemd answers with the same main process."""
    machine.units.update({"postgresql-16": 10, "postgresql": 10})
    assert foreign_service(ServiceSpec("systemd", unit="postgresql"), OWN, SERVER) is None


def test_a_server_under_systemd_with_a_service_of_another_kind(machine: Machine) -> None:
    machine.units["pg-main"] = 10
    assert supervising_unit(ServiceSpec("pg_ctl"), SERVER) == "pg-main"
    assert supervising_unit(ServiceSpec("systemd", unit="pg-main"), SERVER) is None
    assert supervising_unit(ServiceSpec("pg_ctl"), None) is None
    machine.units["pg-main"] = 20
    assert supervising_unit(ServiceSpec("pg_ctl"), SERVER) is None


def test_debians_own_program_hands_over_to_its_unit(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.units["postgresql@15-main"] = 10
    own = ServiceSpec("pg_ctlcluster", version="15", cluster="main")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert supervising_unit(own, SERVER) is None
    asks = ServiceSpec("command", stop="sudo systemctl stop postgresql@15-main")
    assert supervising_unit(asks, SERVER) is None
    monkeypatch.setattr(os, "geteuid", lambda: 26)
    assert supervising_unit(own, SERVER) == "postgresql@15-main"
    assert supervising_unit(ServiceSpec("pg_ctl"), SERVER) == "postgresql@15-main"


def test_a_directory_by_another_name_is_the_same(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "main").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "main")
    machine.units["pg-main"] = 20
    machine.places[20] = str(tmp_path / "main")
    machine.served = [str(tmp_path / "main")]
    assert foreign_service(ServiceSpec("systemd", unit="pg-main"), tmp_path / "link", None) is None
