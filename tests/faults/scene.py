"""One kind of plan, run again and again from the same beginning, struck or left alone."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import pytest

from pgrescue.config.load import load_config
from pgrescue.demo.binaries import ServerBinaries
from pgrescue.demo.processes import (
    exists,
    processes_with,
    servers_below,
    stop_servers_below,
    wait_until,
)
from pgrescue.desk import Desk
from pgrescue.errors import Refused, UsageError
from pgrescue.plan.model import Plan
from pgrescue.plan.request import RestoreRequest
from pgrescue.plan.target import TargetOptions, parse_target
from pgrescue.run import acts
from pgrescue.run.records import Purpose
from pgrescue.run.run_directory import RunDirectory
from pgrescue.run.status import status_of
from tests.faults.kinds import Kind, build, unpin
from tests.support.cluster import Workspace
from tests.support.command import command_environment
from tests.support.files import SERVER_LEFTOVERS, Entry, differences, file_tree
from tests.support.memory import roomy_place
from tests.support.places import Place, free_port

How = Literal["kill", "half", "term", "child", "server", "reboot", "torn"]
Then = Literal["resume", "undo"]
Status = dict[str, Any]
Facts = dict[str, object]

_RUNNER_SECONDS = 300.0
_OUR_DEATHS = (-signal.SIGKILL, -signal.SIGXFSZ)
_GROWS = ("log", "wal", "backups", "sockets", "clone.log")
"""What may grow beside the cluster: logs, archive, backups, the socket of a killed server."""
_LEFT_OUT = (
    "pg_internal.init",  # a cache, made when somebody connects
    "pg_stat",  # statistics tell of every start
    "pg_stat_tmp",
    "pg_subtrans",  # its pages are made anew at each start
    "pg_wal",  # how many segments are kept ready depends on the number of checkpoints
    "wal disk",
    *SERVER_LEFTOVERS,
)
_TEXTS = (".conf", ".signal", ".history", ".old", "PG_VERSION", "backup_label", "fetch-wal")
_SHOWN = """
select n from epochs order by n;
select pg_is_in_recovery();
select timeline_id from pg_control_checkpoint() where not pg_is_in_recovery();
select name, setting from pg_settings
where source = 'configuration file' and not pending_restart order by 1;
select pg_tablespace_location(oid) from pg_tablespace order by 1;
"""
_ELSEWHERE = "select count(*), sum(n) from elsewhere;"


@dataclass(frozen=True, slots=True)
class Blow:
    """An act of a runner: the n-th of its sort in the life of one of the run's runners."""

    life: int
    """0: the first runner of the restore."""
    what: str
    nth: int
    step: str
    detail: str = ""
    size: int = 0
    """Bytes of the file that was written, once the run had ended."""

    @property
    def name(self) -> str:
        """For people who read a failure."""
        return f"{self.what} {self.nth} of runner {self.life + 1} in {self.step}: {self.detail}"


@dataclass(slots=True)
class Case:
    """One run of the scene's plan."""

    plan: Plan
    run: RunDirectory | None = None
    lives: int = 0
    traces: list[Path] = field(default_factory=list)
    fallen: bool = False
    started_anew: bool = False
    """Whether the old server was started, and has written, in the middle of the run."""

    @property
    def status(self) -> Status:
        """What `status --json` prints."""
        assert self.run is not None
        return status_of(self.run.state())

    @property
    def journal(self) -> list[dict[str, Any]]:
        """The whole records, read without the program's help."""
        assert self.run is not None
        lines = self.run.journal_path.read_bytes().split(b"\n")[:-1]
        return [json.loads(line) for line in lines]


class Scene:
    """A cluster, its backups and a plan; every run of it begins with the same bytes."""

    def __init__(self, kind: Kind, binaries: ServerBinaries) -> None:
        self.kind = kind
        # A killed process loses nothing that is in memory only, so that is as good as a disk.
        self.workspace = Workspace.make(roomy_place())
        self.source = build(kind, self.workspace, binaries).source
        self.sandbox = self.source.sandbox
        self._pristine = self.workspace.path / "pristine"
        self._clones = self.source.clone_path().parent
        self._port = free_port()
        self._pristine.mkdir()
        for entry in self.sandbox.directory.iterdir():
            if entry.name != "backups":
                _copy(entry, self._pristine / entry.name)
        self.before = self.cluster_tree()
        self.acts, self.undisturbed = self._undisturbed()

    def destroy(self) -> None:
        """Take every trace away."""
        self._stop_everything()
        unpin(self.kind, self.sandbox.data)
        self.workspace.destroy()

    @property
    def place(self) -> Place:
        """Where the restored server is."""
        clone = self._clones / "clone"
        return Place(clone if self.kind.clone else self.sandbox.data, self.sandbox)

    def begin(self) -> Case:
        """Everything as it was before the first run; a plan of it."""
        self._stop_everything()
        data = self.sandbox.data
        for entry in (*self.sandbox.directory.iterdir(), *self._clones.iterdir()):
            if entry.name == "backups":
                continue
            if entry == data and self.kind.stays:
                for inner in data.iterdir():
                    _delete(inner)
            else:
                _delete(entry)
        for name in ("runs", "plans", "locks"):
            shutil.rmtree(self.workspace.state / name, ignore_errors=True)
        shutil.rmtree(self._manifests, ignore_errors=True)
        for entry in self._pristine.iterdir():
            target = self.sandbox.directory / entry.name
            _copy(entry, target / "." if target.exists() else target, contents=target.exists())
        if self.kind.running:
            self.sandbox.start()
        with self._state():
            return Case(self._plan())

    def strike(self, case: Case, blow: Blow | None, how: How = "kill") -> None:
        """Run the plan until the blow falls, or to its end (past a pause, too)."""
        with self._state(), self._runners(case, blow, how):
            case.run = acts.start(case.plan)
            if case.status["state"] == "waiting" and not case.fallen:
                acts.resume_run(case.run)

    def resume(self, case: Case) -> None:
        """Go on to the end, past a pause."""
        assert case.run is not None
        with self._state(), self._runners(case):
            acts.resume_run(case.run)
            if case.status["state"] == "waiting":
                acts.resume_run(case.run)

    def undo(self, case: Case, blow: Blow | None = None, how: How = "kill") -> bool:
        """Take it back; False if the program says that there is nothing to take back."""
        assert case.run is not None
        with self._state(), self._runners(case, blow, how):
            try:
                acts.undo_run(case.run)
            except UsageError:
                return False
        return True

    def discard(self, case: Case, blow: Blow | None = None, how: How = "kill") -> None:
        """Delete what the run has set aside, if it has."""
        assert case.run is not None
        with self._state(), self._runners(case, blow, how):
            if acts.discardable(case.run):
                acts.discard_run(case.run)

    def status_by_command(self, case: Case) -> Status:
        """What a user's `status --json` says."""
        assert case.run is not None
        said = self.workspace.run("status", case.run.id, "--json", check=True)
        status: Status = json.loads(said.stdout)
        return status

    def ended(self, case: Case) -> Facts:
        """How a finished run has left things, in a form that any other run of it must equal."""
        status, tag = case.status, case.plan.work.tag
        query = _SHOWN + (_ELSEWHERE if self.kind.tablespaces else "")
        is_running = self.place.is_running
        shown = [line.replace(tag, "TAG") for line in self.place.sql(query)] if is_running else []
        self._stop_everything()
        facts: Facts = {
            "state": status["state"],
            "error": status["error"],
            "steps": {step["id"]: step["state"] for step in status["steps"]},
            "reached": status["reached"],
            "set aside": str(status["set_aside"]).replace(tag, "TAG"),
            "runs": is_running,
            "rows and settings": shown,
        }
        for root in (self.sandbox.directory, self._clones):
            for path, entry in file_tree(root).items():
                if not _is_left_out(path):
                    name = f"{root.name}/{path}".replace(tag, "TAG")
                    facts[name] = _lasting(root / path, entry, tag)
        return facts

    def cluster_tree(self) -> dict[str, Entry]:
        """Every byte of the cluster and of what lies beside it."""
        tree = file_tree(self.sandbox.directory)
        kept = {path: entry for path, entry in tree.items() if path.split("/")[0] not in _GROWS}
        clones = file_tree(self._clones, _GROWS).items()
        # The empty directories that were made above a clone's tablespaces stay.
        left = {path: entry for path, entry in clones if entry.kind != "directory"}
        return kept | {f"clones/{path}": entry for path, entry in left.items()}

    def unlike_before(self) -> list[str]:
        """What is not byte for byte as it was before the run."""
        return differences(self.before, self.cluster_tree())

    def manifest(self, name: str) -> dict[str, Any] | None:
        """The old data directory's bytes, as a runner saw them when no server ran."""
        path = self._manifests / f"{name}.json"
        tree: dict[str, Any] | None = json.loads(path.read_text()) if path.exists() else None
        return tree

    def reboot(self, case: Case) -> None:
        """No process is left and the boot is another one; init starts an enabled service again."""
        assert case.run is not None
        state = str(self.workspace.state)
        servers = servers_below(self.workspace.path)
        for pid in (*processes_with("PGRESCUE_STATE", state), *servers):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        # One that is not reaped yet would pass for a running server, as after no reboot.
        wait_until(lambda: not any(map(exists, servers)), "the end of all servers")
        path = case.run.journal_path
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        path.write_text(path.read_text().replace(boot, "00000000-0000-4000-8000-000000000000"))
        if self.kind.running and (self.sandbox.data / "global/pg_control").exists():
            self.sandbox.start()
            case.started_anew = True

    def _plan(self) -> Plan:
        config = load_config(self.workspace.config)
        options = TargetOptions(to="latest")
        if self.kind.end in ("pause", "shutdown"):
            last = str(self.source.log.epochs[-1].xid)
            options = TargetOptions(before_xid=last, action=self.kind.end)
        request = RestoreRequest(
            target=parse_target(options, "UTC"),
            old_data="delete" if self.kind.delete else "keep",
            standby=self.kind.end == "standby",
        )
        if self.kind.clone:
            request = replace(request, into=str(self.place.data), port=self._port)
        plan = Desk(config, config.cluster("main")).plan(request)
        assert not plan.blockers, plan.blockers
        return plan

    def _undisturbed(self) -> tuple[list[Blow], Facts]:
        case = self.begin()
        self.strike(case, None)
        assert tuple(step.id for step in case.plan.steps) == self.kind.steps
        acts_done = [blow for life, path in enumerate(case.traces) for blow in _read(life, path)]
        return acts_done, self.ended(case)

    def trace_of(self, case: Case) -> list[Blow]:
        """What the case's last runner did."""
        return _read(len(case.traces) - 1, case.traces[-1])

    @contextmanager
    def _state(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PGRESCUE_STATE", str(self.workspace.state))
            yield

    @contextmanager
    def _runners(self, case: Case, blow: Blow | None = None, how: How = "kill") -> Iterator[None]:
        """The program's own acts, whose runners are watched ones that are waited for."""

        def launch(run: RunDirectory, purpose: Purpose) -> None:
            self._run(case, run, purpose, blow, how)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(acts, "launch", launch)
            yield

    def _run(
        self, case: Case, run: RunDirectory, purpose: Purpose, blow: Blow | None, how: How
    ) -> None:
        case.run = run
        life, case.lives = case.lives, case.lives + 1
        trace = self.workspace.path / f"trace-{life}"
        trace.unlink(missing_ok=True)
        self._manifests.mkdir(exist_ok=True)
        extra = {"PYTHONDONTWRITEBYTECODE": "1", "PGRESCUE_TEST_MANIFESTS": str(self._manifests)}
        if blow is None:
            extra["PGRESCUE_TEST_TRACE"] = str(trace)
            case.traces.append(trace)
        elif blow.life == life:
            signal_of = {"torn": "kill", "reboot": "kill"}.get(how, how)
            extra["PGRESCUE_TEST_BLOW"] = json.dumps(
                {"what": blow.what, "nth": blow.nth, "how": signal_of}
            )
        said = self.workspace.path / "runner.said"
        with said.open("wb") as output:
            completed = subprocess.run(
                (sys.executable, "-m", "tests.faults.struck_runner", str(run.path), purpose),
                env=command_environment(self.workspace.state, extra),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                timeout=_RUNNER_SECONDS,
                check=False,
            )
        code = completed.returncode
        case.fallen = case.fallen or code in _OUR_DEATHS or (blow is not None and blow.life == life)
        if code and not (blow is not None and blow.life == life and code < 0):
            text = said.read_text()
            if text.startswith("refused: "):
                raise Refused(text)
            raise AssertionError(f"the runner ended with {code}: {text}")

    @property
    def _manifests(self) -> Path:
        return self.workspace.path / "manifests"

    def _stop_everything(self) -> None:
        """Cleanly, so that what they leave is on disk."""
        stop_servers_below(self.workspace.path)


def _read(life: int, path: Path) -> list[Blow]:
    found = [json.loads(line) for line in path.read_text().splitlines()]
    return [
        Blow(life, one["what"], one["nth"], one["step"], one["detail"], _size(one["detail"]))
        for one in found
    ]


def _size(path: str) -> int:
    """Also of a file that was written under another name, and then renamed."""
    lasting = path.removesuffix(".pgrescue-new")
    return os.path.getsize(lasting) if os.path.isfile(lasting) else 0


def _copy(source: Path, target: Path, *, contents: bool = False) -> None:
    names = (f"{source}/.", str(target)) if contents else (str(source), str(target))
    subprocess.run(("cp", "-a", "--reflink=auto", *names), check=True)


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _is_left_out(path: str) -> bool:
    parts = path.split("/")
    return parts[0] in _GROWS or (
        any(part in _LEFT_OUT for part in parts) and not path.endswith(".history")
    )


def _lasting(path: Path, entry: Entry, tag: str) -> object:
    """What must be the same whenever it was made: texts to the letter, of the rest the size."""
    if entry.kind == "file" and path.name.endswith(_TEXTS):
        return (replace(entry, sha256=None, size=None), path.read_text().replace(tag, "TAG"))
    target = None if entry.target is None else entry.target.replace(tag, "TAG")
    return replace(entry, sha256=None, target=target)
