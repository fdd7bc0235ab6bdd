"""What cannot work is refused before anything is touched: exit code 3, why, and the way out."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from pgrescue.demo.account import tool_environment
from pgrescue.demo.binaries import Origin, ServerBinaries
from pgrescue.demo.processes import wait_until
from tests.support.backups import ask, everything, preflight, start_backup, take
from tests.support.cluster import Workspace, cluster_config
from tests.support.command import finished
from tests.support.refused import refused
from tests.support.runs import status
from tests.support.source import Source

pytestmark = pytest.mark.server

USAGE, REFUSED, STEP_FAILED = 2, 3, 4
OTHERS = ("zstd", "server-lz4", "server-zstd")
TCP = {"listen_addresses": "127.0.0.1", "password_encryption": "scram-sha-256"}
HBA = """\
host all,replication backup 127.0.0.1/32 scram-sha-256
local replication nobody_lets_in reject
"""
ROLES = """
create role backup login replication password 'right';
create role app login;
create role nobody_lets_in login replication;
"""
NARROW = {"max_wal_senders": "2"}
MINIMAL = {"wal_level": "minimal", "max_wal_senders": "0", "archive_mode": "off"}


@pytest.fixture(scope="module")
def source(any_binaries: ServerBinaries) -> Iterator[Source]:
    """A cluster that listens on the loopback address, too, and knows several roles."""
    workspace = Workspace.make()
    try:
        source = Source.make(workspace, any_binaries, settings=TCP)
        hba = source.sandbox.data / "pg_hba.conf"
        hba.write_text(HBA + hba.read_text())
        source.sandbox.sql(f"{ROLES} select pg_reload_conf();")
        yield source
    finally:
        workspace.destroy()


def assert_refused(source: Source, *options: str, words: tuple[str, ...]) -> dict[str, Any]:
    """The backup is refused for this reason; nothing is in the directory for backups."""
    before = everything(source.sandbox.backups)
    error = refused(ask(source.workspace, *options), REFUSED, *words)
    assert error["evidence"] == "Nothing was changed."
    assert everything(source.sandbox.backups) == before
    return error


def reached(source: Source, user: str = "postgres", **others: str) -> str:
    """The option that names the server's socket, and a role."""
    endpoint = source.sandbox.endpoint
    words = {"host": endpoint.socket_directory, "port": str(endpoint.port), "user": user, **others}
    return "--source=" + " ".join(f"{key}={value}" for key, value in words.items())


def passfile(source: Source, password: str) -> str:
    """A file of passwords that belongs to the server's account."""
    path = source.workspace.path / f"passwords-{password}"
    path.write_text(f"*:*:*:*:{password}\n")
    path.chmod(0o600)
    os.chown(path, source.sandbox.account.uid, source.sandbox.account.gid)
    return str(path)


def test_wrong_password(source: Source) -> None:
    wrong = reached(source, "backup", host="127.0.0.1", passfile=passfile(source, "wrong"))
    words = ("password authentication failed", ".pgpass", "127.0.0.1")
    error = assert_refused(source, wrong, words=words)
    assert "wrong" not in error["title"].replace("passwords-wrong", "")


@pytest.mark.slow
def test_no_password(source: Source) -> None:
    none = reached(source, "backup", host="127.0.0.1", passfile="/dev/null")
    assert_refused(source, none, words=("no password supplied", ".pgpass"))


def test_right_password_reaches_the_runner(source: Source) -> None:
    right = reached(source, "backup", host="127.0.0.1", passfile=passfile(source, "right"))
    taken = take(source.workspace, right, "--no-verify", "--name=over-tcp")
    assert not taken.verified
    assert "right" not in (taken.completed.stdout + taken.completed.stderr).replace(
        "passwords-right", ""
    )
    shutil.rmtree(taken.path)


def test_password_in_the_options_is_not_taken(source: Source) -> None:
    completed = ask(source.workspace, reached(source, "backup", password="right"))
    error = refused(completed, USAGE, "with a password", ".pgpass")
    assert "right" not in str(error).replace("straight", "")


def test_role_that_may_not_replicate(source: Source) -> None:
    words = ("The role app may not replicate", 'alter role "app" replication')
    assert_refused(source, reached(source, "app"), words=words)


@pytest.mark.slow
def test_role_that_does_not_exist(source: Source) -> None:
    words = ('role "ghost" does not exist', "--source 'user=ROLE'")
    assert_refused(source, reached(source, "ghost"), words=words)


def test_no_way_through_pg_hba(source: Source) -> None:
    words = ("pg_hba.conf rejects replication connection", "pg_hba.conf: local replication")
    assert_refused(source, reached(source, "nobody_lets_in"), words=words)


@pytest.mark.slow
def test_nobody_listens(source: Source) -> None:
    words = ("cannot be asked", "start the server")
    assert_refused(source, "--source=host=127.0.0.1 port=9", words=words)


@pytest.mark.slow
def test_server_that_is_stopped(any_binaries: ServerBinaries, workspace: Workspace) -> None:
    source = Source.make(workspace, any_binaries)
    source.sandbox.stop()
    assert_refused(source, words=("no server runs on", "start the server"))


def test_another_clusters_server(
    source: Source, binaries_by_origin: dict[Origin, ServerBinaries]
) -> None:
    oldest = min(binaries_by_origin.values(), key=lambda binaries: binaries.major)
    stranger = source.workspace.sandbox(oldest, "stranger")
    stranger.init()
    stranger.start()
    endpoint = stranger.endpoint
    other = f"--source=host={endpoint.socket_directory} port={endpoint.port} user=postgres"
    words = ("another cluster than the configured one", "--source")
    assert_refused(source, other, words=words)


@pytest.mark.slow
def test_wal_senders_are_taken(any_binaries: ServerBinaries, workspace: Workspace) -> None:
    """By a receiver of WAL, then by another backup."""
    source = Source.make(workspace, any_binaries, settings=NARROW)
    sandbox = source.sandbox
    into = workspace.path / "received"
    into.mkdir()
    os.chown(into, sandbox.account.uid, sandbox.account.gid)
    receiver = subprocess.Popen(
        (any_binaries.program("pg_receivewal"), "-D", str(into), "-d", sandbox.conninfo()),
        cwd="/",
        env=tool_environment(sandbox.account),
        **sandbox.account.spawn_arguments(),
    )
    senders = "select count(*) from pg_stat_replication"
    try:
        wait_until(lambda: sandbox.sql(senders) == ["1"], "the receiver")
        words = ("2 WAL senders are needed, 1 of 2 are free", "max_wal_senders = 4")
        assert_refused(source, words=words)
        found = preflight(workspace, "--wal-method=fetch")
        assert found["server.max_wal_senders"]["status"] == "ok"
    finally:
        receiver.terminate()
        receiver.wait()
    wait_until(lambda: sandbox.sql(senders) == ["0"], "the end of the receiver")
    run = start_backup(workspace, "--max-rate=1M")
    wait_until(lambda: sandbox.sql(senders) == ["2"], "the other backup")
    exhausted = ("requested standby connections exceeds", "0 of 2 are free")
    assert_refused(source, words=(*exhausted, "max_wal_senders = 4"))
    workspace.run("abort", run, "--yes", check=True)
    assert status(workspace, run)["state"] == "aborted"
    assert everything(sandbox.backups) == []


@pytest.mark.slow
def test_looking_takes_no_wal_sender_away(
    any_binaries: ServerBinaries, workspace: Workspace
) -> None:
    """The attempt to connect for replication is not counted among those at work."""
    source = Source.make(workspace, any_binaries, settings=NARROW)
    for _ in range(3):
        found = preflight(source.workspace)
        assert found["server.max_wal_senders"]["message"].startswith("2 of 2")


def test_wal_level_minimal(any_binaries: ServerBinaries, workspace: Workspace) -> None:
    source = Source.make(workspace, any_binaries)
    source.sandbox.stop()
    with (source.sandbox.data / "postgresql.conf").open("a") as configuration:
        configuration.writelines(f"{name} = {value}\n" for name, value in MINIMAL.items())
    source.sandbox.start()
    assert_refused(source, words=("wal_level is minimal", "wal_level = replica"))


def test_place_that_is_taken(source: Source) -> None:
    place = source.sandbox.backups / "mine"
    place.mkdir()
    try:
        assert_refused(source, "--name=mine", words=(f"{place} exists already", "--name"))
        assert list(place.iterdir()) == []
    finally:
        place.rmdir()


def test_place_that_an_interrupted_one_holds(source: Source) -> None:
    place = source.sandbox.backups / ".mine.partial"
    place.mkdir()
    try:
        assert_refused(source, "--name=mine", words=(str(place), "pgrescue undo RUN"))
    finally:
        place.rmdir()


@pytest.mark.parametrize("deeper", [pytest.param("", marks=pytest.mark.slow), "not/yet/there"])
def test_directory_that_the_account_cannot_write(source: Source, deeper: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root has directories that the server's account cannot enter")
    roots = source.workspace.path / "roots-own"
    roots.mkdir(mode=0o700, exist_ok=True)
    place = roots / deeper
    words = (source.sandbox.account.name, "may not", str(place), "install -d")
    assert_refused(source, f"--destination={place}", words=words)
    assert list(roots.iterdir()) == []


@pytest.mark.slow
def test_directory_that_is_none(source: Source) -> None:
    file = source.workspace.path / "a-file"
    file.touch()
    assert_refused(source, f"--destination={file}", words=("is no directory", "--destination"))


@pytest.mark.slow
def test_directory_inside_the_data(source: Source) -> None:
    inside = source.sandbox.data / "backups"
    words = ("would contain itself", "another disk")
    assert_refused(source, f"--destination={inside}", words=words)
    assert not inside.exists()


@pytest.mark.slow
def test_directory_of_ones_own_is_made(source: Source) -> None:
    place = source.workspace.path / "new" / "and deep"
    place.parent.mkdir(mode=0o755)
    os.chown(place.parent, source.sandbox.account.uid, source.sandbox.account.gid)
    taken = take(source.workspace, f"--destination={place}", "--no-verify")
    assert taken.path.parent == place
    assert "will not show" in taken.completed.stderr


def test_plain_backup_is_not_compressed_by_the_client(source: Source) -> None:
    words = ("A plain backup is not compressed", "--compress server-lz4")
    assert_refused(source, "--format=plain", "--compress=gzip", words=words)


@pytest.mark.parametrize(
    "method", ["lz4", *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)]
)
def test_compression_that_was_not_built_in(
    binaries_by_origin: dict[Origin, ServerBinaries], source: Source, method: str
) -> None:
    if source.sandbox.binaries != binaries_by_origin.get("embedded"):
        pytest.skip("only the embedded server is known to be built without them")
    words = ("lz4" if "lz4" in method else "zstd", "--compress gzip")
    error = refused(ask(source.workspace, f"--compress={method}"), REFUSED, words[1])
    assert words[0] in error["title"].lower()


@pytest.mark.slow
def test_tablespace_that_is_none(source: Source) -> None:
    words = ("No tablespace of the server is at /srv/none", "it has none")
    mapping = "--tablespace=/srv/none=/srv/other"
    assert_refused(source, "--format=plain", mapping, words=words)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--compress=bzip2",), ("bzip2", "--compress zstd:3")),
        (("--max-rate=fast",), ("no rate", "--max-rate 50M")),
        (("--format=zip",), ("zip",)),
        (("--name=../elsewhere",), ("no name for a backup", "--name")),
        (("--label=two\nlines",), ("no label", "--label")),
        (("--tablespace=here",), ("no mapping", "--tablespace")),
        (("--source=host",), ("no connection string", "--source")),
        (("--incremental=20200101",), ("There is no backup '20200101'", "pgrescue catalog")),
    ],
    ids=lambda case: case[0].split("=")[0].strip("-") if "=" in case[0] else None,
)
def test_wrong_usage(source: Source, options: tuple[str, ...], words: tuple[str, ...]) -> None:
    refused(ask(source.workspace, *options), USAGE, *words)
    assert everything(source.sandbox.backups) == []


def test_nothing_is_asked_without_a_terminal(source: Source) -> None:
    refused(source.workspace.run("backup", "--json"), REFUSED, "no terminal", "--yes")


def test_dry_run_changes_nothing(source: Source) -> None:
    text = source.workspace.run("backup", "--dry-run", check=True).stdout
    for word in ("pg_basebackup", "--checkpoint=fast", "mv -T", "pgrescue verify"):
        assert word in text
    assert everything(source.sandbox.backups) == []


@pytest.mark.slow
def test_a_backup_without_wal_is_none_before_the_archive_has_it(source: Source) -> None:
    """That the server archives into another directory shows at the end only."""
    sandbox, workspace = source.sandbox, source.workspace
    elsewhere = workspace.path / "elsewhere"
    elsewhere.mkdir()
    os.chown(elsewhere, sandbox.account.uid, sandbox.account.gid)
    before = everything(sandbox.backups)
    workspace.configure(replace(cluster_config(sandbox), wal_archive=elsewhere))
    try:
        failed = ask(workspace, "--wal-method=none", "--checkpoint=fast")
        last = finished(failed)
        assert failed.returncode == STEP_FAILED
        assert "worth nothing" in last["error"]["title"]
        visible = [name for name in everything(sandbox.backups) if not name.startswith(".")]
        assert visible == [name for name in before if not name.startswith(".")]
        for path in sandbox.wal.iterdir():
            shutil.copy(path, elsewhere)
        resumed = finished(workspace.run("resume", last["run"], "--yes", "--json", check=True))
        assert resumed["state"] == "succeeded"
    finally:
        workspace.configure(cluster_config(sandbox))
