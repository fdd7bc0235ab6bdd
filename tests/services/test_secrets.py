"""Passwords: in no plan, journal, log, report, cache or process list, and in no hook's hands."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from pgrescue.demo.binaries import ServerBinaries
from pgrescue.demo.processes import wait_until
from tests.support.cluster import Workspace, cluster_config
from tests.support.command import document, finished, run_pgrescue
from tests.support.source import Source

pytestmark = pytest.mark.server

SECRET = "s3cr3t-Wort"
TCP = {"listen_addresses": "127.0.0.1", "password_encryption": "scram-sha-256"}
HBA = "host all,replication backup 127.0.0.1/32 scram-sha-256\n"


def files_with_the_secret(root: Path) -> list[str]:
    """Every file below a directory that the secret is in."""
    found = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
    return [str(path) for path in found if SECRET.encode() in path.read_bytes()]


@contextmanager
def process_list_watched() -> Iterator[list[str]]:
    """Command lines of processes in which the secret was seen meanwhile."""
    seen: list[str] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.02):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    line = path.read_bytes()
                except OSError:
                    continue
                if SECRET.encode() in line:
                    seen.append(line.decode(errors="replace"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        ended.set()
        watcher.join()


@pytest.fixture
def source(any_binaries: ServerBinaries, workspace: Workspace) -> Source:
    """A cluster that asks one role for its password."""
    made = Source.make(workspace, any_binaries, settings=TCP)
    hba = made.sandbox.data / "pg_hba.conf"
    hba.write_text(HBA + hba.read_text())
    made.sandbox.sql(
        f"create role backup login replication password '{SECRET}'; "
        "grant pg_read_all_settings to backup; select pg_reload_conf()"
    )
    return made


def test_backup_with_a_password_from_the_environment(source: Source) -> None:
    """pg_basebackup gets it, and nobody else: not even the command that is told the end."""
    workspace, told = source.workspace, source.workspace.path / "environment"
    hook = f"cat >/dev/null; env >{told}.new && mv {told}.new {told}"
    workspace.configure(replace(cluster_config(source.sandbox), notify=hook))
    address = f"host=127.0.0.1 port={source.sandbox.endpoint.port} user=backup dbname=postgres"
    with process_list_watched() as seen:
        completed = run_pgrescue(
            *("backup", f"--source={address}", "--checkpoint=fast", "--yes", "--json"),
            config=workspace.config,
            state=workspace.state,
            env={"PGPASSWORD": SECRET},
        )
        assert finished(completed)["state"] == "succeeded", completed.stderr
        wait_until(told.exists, "the notification")
    assert seen == []
    assert "PGRESCUE_STATE" in told.read_text()
    assert SECRET not in told.read_text()
    assert SECRET not in completed.stdout + completed.stderr
    assert files_with_the_secret(workspace.state) == []


def test_restore_of_a_backup_whose_configuration_has_passwords(source: Source) -> None:
    """It comes back word for word; what is shown and kept of it has no password."""
    workspace, auto_conf = source.workspace, source.sandbox.data / "postgresql.auto.conf"
    with auto_conf.open("a") as file:
        file.write(
            f"primary_conninfo = 'host=db0 user=rep password=''{SECRET} x'' application_name=a'\n"
            f"restore_command = 'PGPASSWORD={SECRET} fetch --token={SECRET} %f %p'\n"
            f"archive_cleanup_command = 'curl -u me:{SECRET} https://me:{SECRET}@db0/%r'\n"
        )
    source.backup("nightly", "-Ft", "-z", "-Xs", "-l", "nightly")
    source.log.mark("after the backup")
    source.sandbox.switch_wal()
    for form in ("text", "shell", "markdown", "json"):
        planned = workspace.run("plan", "--format", form, check=True)
        assert SECRET not in planned.stdout + planned.stderr
        if form != "shell":
            assert "primary_conninfo" in planned.stdout, "the finding is still there"
    workspace.run("catalog", check=True)
    with process_list_watched() as seen:
        completed = source.restore()
    assert seen == []
    assert SECRET not in completed.stdout + completed.stderr
    assert SECRET in auto_conf.read_text(), "the settings themselves are the backup's"
    assert files_with_the_secret(workspace.state) == []
    assert source.place.rows() == source.log.expected("latest")


def test_restore_command_with_a_password_is_warned_of(source: Source) -> None:
    """It has to be run as it is, so it is in the plan: better that it is not."""
    source.backup("nightly", "-Ft", "-Xs")
    command = f"PGPASSWORD={SECRET} cp {source.sandbox.wal}/%f %p"
    config = replace(cluster_config(source.sandbox), restore_command=command, wal_archive=None)
    source.workspace.configure(config)
    planned = source.workspace.run("plan", "--json", "--to", "immediate")
    (finding,) = [one for one in document(planned)["preflight"] if one["code"] == "host.password"]
    assert finding["status"] == "warning"
    assert "PGPASSWORD=*** cp" in finding["message"]
    assert SECRET not in finding["message"]


def test_failing_hook_is_named_without_its_password(source: Source) -> None:
    workspace = source.workspace
    hook = f"cat >/dev/null; PGPASSWORD={SECRET} false"
    workspace.configure(replace(cluster_config(source.sandbox), notify=hook))
    taken = ("backup", "--checkpoint=fast", "--no-verify", "--yes", "--json")
    run = finished(workspace.run(*taken, check=True))["run"]
    directory = workspace.state / "runs" / str(run)

    def noted() -> bool:
        return "exit code 1" in (directory / "journal.jsonl").read_text()

    wait_until(noted, "the note on the command's failure")
    time.sleep(0.1)
    leaks = [Path(path).name for path in files_with_the_secret(directory)]
    assert set(leaks) <= {"plan.json", "report.json"}, "a plan has the command that it runs"
