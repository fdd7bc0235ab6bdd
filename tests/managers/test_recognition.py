"""Which manager a data directory belongs to: from processes, hand-made and real; no servers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from pgrescue.demo.processes import wait_until
from pgrescue.plan.checks.manager import finding_about, service_findings
from pgrescue.plan.facts import Manager, ManagerName
from pgrescue.postgres.service import ServiceSpec
from pgrescue.survey import manager as managers
from pgrescue.survey.manager import Process, find_manager, manager_by_process, manager_state
from pgrescue.survey.manager_words import manager_of
from tests.support.stand_in import SCOPE, StandIn


@pytest.fixture(autouse=True)
def outside_of_a_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever these tests run."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setattr(managers, "_POD", "/nowhere")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory, as far as managers know one."""
    place = tmp_path / "main"
    (place / "pg_stat").mkdir(parents=True)
    return place


def _asked(
    data: Path, *argv: str, directory: str = "/", environment: Mapping[str, str] | None = None
) -> Manager | None:
    name = manager_of(argv)
    assert name is not None
    return manager_by_process(name, Process(1, argv, environment or {}, directory), data)


@pytest.mark.parametrize("written", ["absolute", "relative", "linked"])
def test_patroni_by_its_file(data: Path, tmp_path: Path, written: str) -> None:
    (tmp_path / "link").symlink_to(data)
    place = {"absolute": str(data), "relative": "main", "linked": f"{tmp_path}/link"}[written]
    (tmp_path / "patroni.yml").write_text(f"scope: demo\npostgresql:\n  data_dir: {place}\n")
    found = _asked(data, "python3", "/bin/patroni", "patroni.yml", directory=str(tmp_path))
    assert found is not None
    assert (found.state, found.subject) == ("in charge", "demo")
    assert found.configuration == str(tmp_path / "patroni.yml")
    assert _asked(tmp_path, "patroni", "patroni.yml", directory=str(tmp_path)) is None


def test_patroni_by_a_directory_of_files(data: Path, tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/1.yml").write_text("scope: demo\n")
    (tmp_path / "conf/2.yaml").write_text(f"postgresql:\n  data_dir: {data}\n")
    assert _asked(data, "patroni", str(tmp_path / "conf")) is not None
    assert _asked(tmp_path, "patroni", str(tmp_path / "conf")) is None


def test_patroni_by_its_environment(data: Path) -> None:
    ours = {"PATRONI_POSTGRESQL_DATA_DIR": str(data), "PATRONI_SCOPE": "demo"}
    assert _asked(data, "patroni", environment=ours) is not None
    whole = {"PATRONI_CONFIGURATION": f"postgresql:\n  data_dir: {data}\n"}
    assert _asked(data, "patroni", environment=whole) is not None
    other = {**whole, "PATRONI_POSTGRESQL_DATA_DIR": "/srv/other"}
    assert _asked(data, "patroni", environment=other) is None


def test_patroni_that_cannot_be_understood_may_be_in_charge(data: Path) -> None:
    (data / "patroni.dynamic.json").write_text('{"pause": true}')
    found = _asked(data, "patroni", "/etc/patroni-is-not-there.yml")
    assert found is not None
    assert found.state == "in charge"
    assert "does not tell what it manages" in found.evidence


def test_data_directory_that_is_gone_is_known_by_its_name(data: Path, tmp_path: Path) -> None:
    ours = {"PATRONI_POSTGRESQL_DATA_DIR": str(data)}
    (data / "pg_stat").rmdir()
    data.rmdir()
    assert _asked(data, "patroni", environment=ours) is not None


@pytest.mark.parametrize(
    "argv",
    [
        ("pg_autoctl", "run", "--pgdata", "{data}"),
        ("pg_autoctl", "run", "--pgdata={data}"),
        ("stolon-keeper", "--data-dir", "{stolon}"),
        ("stolon-keeper", "--data-dir={stolon}"),
        ("repmgrd", "-f", "{conf}"),
        ("repmgrd", "--config-file={conf}"),
    ],
)
def test_others_by_their_options(data: Path, tmp_path: Path, argv: tuple[str, ...]) -> None:
    place = tmp_path / "keeper/postgres"
    place.parent.mkdir()
    data.rename(place)
    conf = tmp_path / "repmgr.conf"
    conf.write_text(f"data_directory='{place}'\n")
    words = [word.format(data=place, stolon=place.parent, conf=conf) for word in argv]
    found = _asked(place, *words)
    assert found is not None
    assert found.state == "in charge"
    assert _asked(tmp_path, *words) is None


def test_passwords_of_a_keeper_are_not_evidence(data: Path) -> None:
    options = ("--data-dir", str(data.parent), "--pg-su-password=secret")
    data.rename(data.with_name("postgres"))
    found = _asked(data.with_name("postgres"), "stolon-keeper", *options)
    assert found is not None
    assert "secret" not in finding_about(found).message


def test_repmgrd_is_paused_by_its_file(data: Path, tmp_path: Path) -> None:
    conf = tmp_path / "repmgr.conf"
    conf.write_text(f"data_directory='{data}'\n")
    for text, state in (("1:1\0", "paused"), ("1:0\0", "in charge")):
        (data / "pg_stat/repmgrd_state.txt").write_text(text)
        found = _asked(data, "repmgrd", "-f", str(conf))
        assert found is not None
        assert found.state == state


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Patroni", "patronictl -c /etc/x.yml pause --wait demo"),
        ("repmgrd", "repmgr -f /etc/x.yml service pause"),
        ("pg_auto_failover", "pg_autoctl enable maintenance"),
        ("Stolon", "systemctl stop the-unit"),
        ("Pacemaker", "pcs resource unmanage demo"),
    ],
)
def test_a_manager_in_charge_forbids_and_says_how_it_is_paused(
    name: ManagerName, words: str
) -> None:
    found = Manager(name, "in charge", "process 1", "/etc/x.yml", "demo", "the-unit")
    finding = finding_about(found)
    assert finding.status == "blocker"
    assert finding.fix is not None
    assert words in finding.fix
    assert "then plan again" in finding.fix


@pytest.mark.parametrize("unit", ["patroni", "patroni@15-main", "stolon-keeper", "repmgrd"])
def test_unit_of_a_manager_is_no_service_of_the_server(unit: str) -> None:
    (finding,) = service_findings(ServiceSpec("systemd", unit=unit))
    assert finding.status == "blocker"
    assert service_findings(ServiceSpec("systemd", unit="postgresql@15-main")) == []


@pytest.fixture
def patroni(data: Path, tmp_path: Path) -> Iterator[StandIn]:
    """A living stand-in for Patroni."""
    stand_in = StandIn(tmp_path / "etc", data)
    try:
        yield stand_in
    finally:
        stand_in.end()


def test_living_patroni(data: Path, patroni: StandIn) -> None:
    found = find_manager(data)
    assert found is not None
    assert (found.name, found.state, found.subject) == ("Patroni", "in charge", SCOPE)
    assert str(patroni.pid) in found.evidence
    assert str(patroni.configuration) in found.evidence
    assert find_manager(data.parent) is None
    patroni.pause()
    assert manager_state(data) == "Patroni, paused"
    patroni.resume()
    assert manager_state(data) == "Patroni, in charge"
    patroni.end()
    assert manager_state(data) == "none"


def test_the_api_is_believed_rather_than_the_file(data: Path, patroni: StandIn) -> None:
    """The file comes back out of a backup as it was then."""
    (data / "patroni.dynamic.json").write_text('{"pause": true}')
    assert manager_state(data) == "Patroni, in charge"
    patroni.pause()
    (data / "patroni.dynamic.json").write_text("{}")
    assert manager_state(data) == "Patroni, paused"


def test_without_an_api_the_file_decides(data: Path, tmp_path: Path) -> None:
    stand_in = StandIn(tmp_path / "etc", data, asked_by_rest=False)
    try:
        assert manager_state(data) == "Patroni, in charge"
        stand_in.pause()
        assert manager_state(data) == "Patroni, paused"
        (data / "patroni.dynamic.json").unlink()
        assert manager_state(data) == "Patroni, in charge"
    finally:
        stand_in.end()


def test_file_of_a_patroni_that_is_gone_only_warns(data: Path) -> None:
    (data / "patroni.dynamic.json").write_text(json.dumps({"ttl": 30}))
    found = find_manager(data)
    assert found is not None
    assert found.state == "gone"
    assert finding_about(found).status == "warning"
    assert manager_state(data) == "none"


def test_two_managers_of_which_one_is_in_charge(
    data: Path, patroni: StandIn, tmp_path: Path
) -> None:
    patroni.pause()
    program = tmp_path / "pg_autoctl"
    program.symlink_to(sys.executable)
    (tmp_path / "run").write_text("import time; time.sleep(60)")
    environment = {**os.environ, "PGDATA": str(data)}
    other = subprocess.Popen([str(program), "run"], env=environment, cwd=tmp_path)
    try:
        wait_until(lambda: manager_state(data) == "pg_auto_failover, in charge", "the keeper")
    finally:
        other.kill()
        other.wait()
    assert manager_state(data) == "Patroni, paused"


def test_unit_that_is_about_to_start_one(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = (
        "patroni.service loaded activating auto-restart x\nother.service loaded active running x"
    )
    monkeypatch.setattr(managers, "systemd_runs", lambda: True)
    monkeypatch.setattr(managers, "_list_units", lambda: listed)
    found = find_manager(data)
    assert found is not None
    assert (found.state, found.unit) == ("in charge", "patroni")
    monkeypatch.setattr(managers, "_list_units", lambda: listed.replace("activating", "inactive"))
    assert find_manager(data) is None


def test_an_operator_by_the_program_that_runs_the_server(data: Path, tmp_path: Path) -> None:
    argv = ("/controller/manager", "instance", "run", "--status-port-tls")
    found = _asked(data, *argv, environment={"PGDATA": str(data)})
    assert found is not None
    assert (found.name, found.state) == ("CloudNativePG", "in charge")
    finding = finding_about(found)
    assert finding.status == "blocker"
    assert "bootstrap.recovery" in (finding.fix or "")
    assert _asked(data, *argv, environment={"PGDATA": str(tmp_path)}) is None
    assert manager_of(("/usr/bin/manager", "--help")) is None


@pytest.mark.parametrize("sign", ["variable", "directory"])
def test_a_pod_is_told_and_forbids_nothing(
    data: Path, tmp_path: Path, sign: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_manager(data) is None
    if sign == "variable":
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    else:
        monkeypatch.setattr(managers, "_POD", str(tmp_path))
    found = find_manager(data)
    assert found is not None
    assert finding_about(found).status == "warning"
    assert manager_state(data) == "none", "a plan does not become stale by it"


@pytest.mark.parametrize(
    "argv",
    [
        ("python3", "-X", "dev", "/usr/bin/patroni", "x.yml"),
        ("python3", "-W", "ignore", "-u", "/opt/patroni/patroni.py", "x.yml"),
    ],
    ids=" ".join,
)
def test_patroni_behind_pythons_options(argv: tuple[str, ...]) -> None:
    assert manager_of(argv) == "Patroni"
