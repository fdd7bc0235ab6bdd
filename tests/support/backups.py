"""Backups that pgrescue takes: where they lie, what it says about them, and load meanwhile."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pgrescue.demo.account import tool_environment
from pgrescue.demo.binaries import ServerBinaries
from pgrescue.demo.processes import wait_until
from pgrescue.demo.sandbox import Sandbox
from pgrescue.postgres.postmaster import is_alive
from tests.support.cluster import Workspace
from tests.support.command import Completed, document, events, finished
from tests.support.runs import journal
from tests.support.source import Source

DIGEST = """
select 'accounts', count(*), sum(abalance),
       md5(string_agg(aid || ':' || abalance, ',' order by aid)) from pgbench_accounts
union all
select 'tellers', count(*), sum(tbalance),
       md5(string_agg(tid || ':' || tbalance, ',' order by tid)) from pgbench_tellers
union all
select 'branches', count(*), sum(bbalance), '' from pgbench_branches
union all
select 'history', count(*), sum(delta),
       md5(string_agg(tid || ':' || aid || ':' || delta, ',' order by tid, aid, delta, mtime))
from pgbench_history
"""
"""One line for each of pgbench's tables; equal lines mean equal rows."""
BULK = (
    "create table bulk as select n, repeat(md5(n::text), 30) as text from generate_series(1, {}) n"
)
"""A table of about a kilobyte a row."""
COMPRESSIONS_EVERYWHERE = ("none", "gzip", "server-gzip")


@dataclass(frozen=True, slots=True)
class TakenBackup:
    """A backup that `pgrescue backup` says it has taken."""

    id: str
    path: Path
    verified: bool
    completed: Completed

    @property
    def progress(self) -> list[dict[str, Any]]:
        """What was told on the way while the files came."""
        told = events(self.completed)
        return [one for one in told if one["event"] == "progress" and one["step"] == "take"]


def take(workspace: Workspace, *options: str, check: bool = True) -> TakenBackup:
    """Take a backup to its end, and hold the answer to its word."""
    completed = ask(workspace, *options, check=check)
    last = finished(completed)
    assert (last["state"], last["error"]) == ("succeeded", None), last
    taken = last["backup"]
    path = Path(taken["path"])
    assert path.is_dir()
    assert not path.name.startswith(".")
    assert hidden(path.parent) == []
    return TakenBackup(taken["id"], path, taken["verified"], completed)


def ask(workspace: Workspace, *options: str, check: bool = False) -> Completed:
    """Run `pgrescue backup --yes --json` with these options, whatever comes of it."""
    return workspace.run("backup", *options, "--yes", "--json", check=check)


def start_backup(workspace: Workspace, *options: str) -> str:
    """Start a backup and leave it alone; returns the run's name."""
    completed = workspace.run("backup", *options, "--yes", "--json", "--detach", check=True)
    run: str = events(completed)[-1]["run"]
    return run


def hidden(root: Path) -> list[str]:
    """What lies in a directory for backups and is none."""
    return sorted(path.name for path in root.iterdir() if path.name.startswith("."))


def everything(root: Path) -> list[str]:
    """All names in a directory for backups."""
    return sorted(path.name for path in root.iterdir())


def listed(workspace: Workspace) -> list[dict[str, Any]]:
    """The catalog."""
    backups: list[dict[str, Any]] = document(workspace.run("catalog", "--json", check=True))[
        "backups"
    ]
    return backups


def entry(workspace: Workspace, backup: str) -> dict[str, Any]:
    """One backup's line in the catalog."""
    (found,) = [one for one in listed(workspace) if one["id"] == backup]
    return found


def verified(workspace: Workspace, backup: str) -> dict[str, Any]:
    """What `pgrescue verify --json` says, whose exit code agrees with it."""
    completed = workspace.run("verify", backup, "--json")
    assert completed.returncode in (0, 1), completed.stderr
    said: dict[str, Any] = document(completed)
    assert (completed.returncode == 0) == said["ok"]
    return said


def preflight(workspace: Workspace, *options: str) -> dict[str, dict[str, Any]]:
    """The findings of `pgrescue backup --dry-run`, by code; exit code and blockers agree."""
    completed = workspace.run("backup", *options, "--dry-run", "--json")
    plan = document(completed)
    found = {finding["code"]: finding for finding in plan["preflight"]}
    is_blocked = any(finding["status"] == "blocker" for finding in plan["preflight"])
    assert completed.returncode == (3 if is_blocked else 0), completed.stderr
    return found


def basebackup_pid(workspace: Workspace, run: str) -> int | None:
    """The process of the run's pg_basebackup, as soon as files come from the server."""
    began: list[int] = []
    for record in journal(workspace, run):
        if record["event"] == "command_began" and "pg_basebackup" in record["command"]:
            began.append(record["pid"])
    return began[-1] if began else None


def wait_until_half_way(workspace: Workspace, run: str, root: Path) -> int:
    """Return once files have come, with pg_basebackup's process, which is at work."""

    def has_come() -> bool:
        return sum(path.stat().st_size for path in root.glob(".*.partial/base.tar*")) > 0

    wait_until(has_come, "the first bytes of the backup")
    pid = basebackup_pid(workspace, run)
    assert pid is not None
    assert is_alive(pid)
    return pid


@contextmanager
def load(source: Source, program: str) -> Iterator[None]:
    """Transactions of pgbench go on meanwhile; none of them fails."""
    sandbox = source.sandbox
    argv = (program, "-n", "-c", "2", "-R", "100", "-T", "600", "-M", "prepared", *_where(sandbox))
    running = subprocess.Popen(
        argv,
        cwd=sandbox.directory,
        env=tool_environment(sandbox.account),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **sandbox.account.spawn_arguments(),
    )
    rows = "select count(*) from pgbench_history"
    before = int(sandbox.sql(rows)[0])
    try:
        wait_until(lambda: int(sandbox.sql(rows)[0]) > before, "the first transaction")
        yield
        assert running.poll() is None, "the load went on to the end"
    finally:
        running.terminate()
        running.wait()


def fill(source: Source, program: str, scale: int = 1) -> None:
    """pgbench's tables, one of them in a tablespace."""
    sandbox = source.sandbox
    sandbox.create_tablespace("fast")
    options = ("-i", "-q", "-s", str(scale), "--tablespace=fast", *_where(sandbox))
    subprocess.run(
        (program, *options),
        cwd=sandbox.directory,
        env=tool_environment(sandbox.account),
        capture_output=True,
        check=True,
        **sandbox.account.spawn_arguments(),
    )


def pgbench_of(binaries: ServerBinaries) -> str:
    """The load generator that comes with a server."""
    return binaries.program("pgbench")


def _where(sandbox: Sandbox) -> tuple[str, ...]:
    endpoint = sandbox.endpoint
    return ("-h", endpoint.socket_directory, "-p", str(endpoint.port), "-U", "postgres", "postgres")


def verdict_of_postgres(binaries: ServerBinaries, sandbox: Sandbox, path: Path) -> bool | None:
    """Whether pg_verifybackup finds a backup whole; None for what it cannot read.

    Before 18 it reads plain backups only; it looks at WAL in those only, where they have some.
    """
    is_tar = any(path.glob("base.tar*"))
    has_wal = any((path / "pg_wal").glob("0*"))
    if (is_tar and binaries.major < 18) or not (path / "backup_manifest").exists():
        return None
    completed = subprocess.run(
        (binaries.program("pg_verifybackup"), *(() if has_wal else ("-n",)), str(path)),
        cwd="/",
        env={**tool_environment(sandbox.account), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
        **sandbox.account.spawn_arguments(),
    )
    return completed.returncode == 0


def told(completed: Completed) -> str:
    """Everything that an error says: what, why, what was left alone, what next."""
    error = json.loads(completed.stdout.splitlines()[-1])["error"]
    return " ".join([error["title"], error["cause"], error["evidence"], *error["next"]])
