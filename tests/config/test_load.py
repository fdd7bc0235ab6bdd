"""Reading the configuration: where it is looked for, and everything that is wrong with it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pgrescue.config.errors import ConfigError
from pgrescue.config.load import load_config, parse_config
from pgrescue.errors import ExitCode, UsageError
from pgrescue.postgres.service import SERVICE_KINDS, ServiceSpec

EXAMPLE = Path(__file__).parents[2] / "config.example.toml"
MINIMAL = '[clusters.{name}]\ndata_directory = "/data/{name}"\n'


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory and a home without any configuration."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.delenv("PGRESCUE_CONFIG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))


def write(path: Path, name: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(MINIMAL.format(name=name))
    return path


def problems_of(text: str) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, Path("/etc/pgrescue/pgrescue.toml"))
    assert caught.value.exit_code == ExitCode.USAGE
    return {problem.key: problem.message for problem in caught.value.problems}


def test_the_search_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    write(tmp_path / "xdg/pgrescue/pgrescue.toml", "user")
    found.append(load_config(None))
    write(Path("pgrescue.toml"), "here")
    found.append(load_config(None))
    monkeypatch.setenv("PGRESCUE_CONFIG", str(write(tmp_path / "env.toml", "env")))
    found.append(load_config(None))
    found.append(load_config(write(tmp_path / "explicit.toml", "explicit")))
    names = [name for config in found for name in config.clusters]
    assert names == ["user", "here", "env", "explicit"]


def test_no_configuration_leads_to_init() -> None:
    with pytest.raises(UsageError) as caught:
        load_config(None)
    assert any("pgrescue init" in step for step in caught.value.next_steps)


def test_a_named_file_that_is_missing_is_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    write(Path("pgrescue.toml"), "here")
    monkeypatch.setenv("PGRESCUE_CONFIG", "/nonexistent/pgrescue.toml")
    with pytest.raises(UsageError, match="/nonexistent/"):
        load_config(None)


def test_a_file_that_anybody_can_write_is_not_used_unasked() -> None:
    path = write(Path("pgrescue.toml"), "here")
    path.chmod(0o666)
    with pytest.raises(UsageError, match="not trusted"):
        load_config(None)
    assert "here" in load_config(path).clusters


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_somebody_elses_file_is_not_used_unasked() -> None:
    path = write(Path("pgrescue.toml"), "here")
    os.chown(path, 12345, 12345)
    with pytest.raises(UsageError, match="not trusted"):
        load_config(None)


def test_the_example_shows_every_kind_of_service() -> None:
    config = load_config(EXAMPLE)
    assert {cluster.service.kind for cluster in config.clusters.values()} == set(SERVICE_KINDS)
    main = config.clusters["main"]
    assert main.service == ServiceSpec("systemd", unit="postgresql@15-main")
    assert main.backups == (Path("/srv/backups/main"), Path("/mnt/nas/backups/main"))
    assert config.time_zone == "Europe/Berlin"


def test_every_problem_is_named_at_once() -> None:
    problems = problems_of(
        """
        tiem_zone = "UTC"
        time_zone = "Europe/Berlim"
        stop_timeout = 0
        [clusters.main]
        data_directory = 15
        backup = ["/srv"]
        backups = "/srv/backups"
        wal_archive = "wal"
        sudo = "yes"
        restore_command = "cp /wal/%f"
        [clusters.main.service]
        kind = "systemctl"
        [clusters.other]
        service = { kind = "systemd", start = "x" }
        """
    )
    assert "time_zone" in problems["tiem_zone"]
    assert "Europe/Berlin" in problems["time_zone"]
    assert "positive" in problems["stop_timeout"]
    assert "must be text" in problems["clusters.main.data_directory"]
    assert "'backups'" in problems["clusters.main.backup"]
    assert 'backups = ["/srv/backups"]' in problems["clusters.main.backups"]
    assert '"/etc/pgrescue/wal"' in problems["clusters.main.wal_archive"]
    assert "true or false" in problems["clusters.main.sudo"]
    assert "%p" in problems["clusters.main.restore_command"]
    assert "'systemd'" in problems["clusters.main.service.kind"]
    assert "missing" in problems["clusters.other.data_directory"]
    assert "missing" in problems["clusters.other.service.unit"]
    assert "does not belong" in problems["clusters.other.service.start"]
    assert len(problems) == 13


def test_each_problem_names_the_file() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config('x = 1\n[clusters.a]\ny = 1\ndata_directory = "/a"\n', Path("/c.toml"))
    assert str(caught.value).count("/c.toml: ") == 2


@pytest.mark.parametrize("text", ["", "[clusters]\n", 'time_zone = "UTC"\n'])
def test_no_clusters_is_a_problem(text: str) -> None:
    assert "no cluster" in problems_of(text)["clusters"]


@pytest.mark.parametrize(
    ("kind", "missing"),
    [
        ("systemd", {"unit"}),
        ("pg_ctlcluster", {"version", "cluster"}),
        ("command", {"start", "stop", "status"}),
    ],
)
def test_a_service_names_its_missing_fields(kind: str, missing: set[str]) -> None:
    text = MINIMAL.format(name="a") + f'service = {{ kind = "{kind}" }}\n'
    assert problems_of(text).keys() == {f"clusters.a.service.{field}" for field in missing}


def test_a_syntax_error_is_shown_with_file_and_line() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config("[clusters.main]\ndata_directory = /data\n", Path("/c.toml"))
    assert "/c.toml" in str(caught.value)
    assert "line 2" in str(caught.value)


def test_passwords_are_not_taken() -> None:
    text = MINIMAL.format(name="a") + 'conninfo = "user=me password=secret"\n'
    assert ".pgpass" in problems_of(text)["clusters.a.conninfo"]
    text = MINIMAL.format(name="a") + 'conninfo = "nonsense here"\n'
    assert "connection string" in problems_of(text)["clusters.a.conninfo"]
