"""Recoveries that fail as they do in life, on real servers, explained from the log and the host."""

from __future__ import annotations

import gzip
import itertools
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from pgrescue.demo.account import run_tool
from pgrescue.demo.binaries import Origin, ServerBinaries
from pgrescue.demo.processes import stop_servers_below, wait_until
from pgrescue.demo.sandbox import Sandbox
from pgrescue.errors import PgRescueError
from pgrescue.postgres.conf_file import quote
from tests.support.cluster import Workspace, cluster_config
from tests.support.command import document

pytestmark = pytest.mark.server

SEGMENT_SIZE = 1 << 20
FAR = "2099-01-01 00:00:00+00"


@dataclass(slots=True)
class Broken:
    """A copy of a restored backup, about to be spoiled and started."""

    sandbox: Sandbox
    data: Path
    archive: Path
    segments: tuple[str, ...]
    """Of the archive, behind the backup's own WAL, in order."""
    settings: dict[str, str] = field(default_factory=dict)
    signal: bool = True

    def middle(self) -> Path:
        """A segment that recovery must pass."""
        return self.archive / self.segments[1]


@dataclass(frozen=True, slots=True)
class Case:
    """How something is spoiled, what it must be called, and what must be shown for it."""

    code: str
    spoil: Callable[[Broken], None]
    shows: tuple[str, ...] = ()


class Stage:
    """One cluster with a backup and an archive; every case gets copies of both."""

    def __init__(self, workspace: Workspace, binaries: ServerBinaries) -> None:
        self.workspace = workspace
        self.sandbox = workspace.sandbox(binaries)
        self._numbers = itertools.count()
        sandbox = self.sandbox
        sandbox.init(1)
        sandbox.start()
        sandbox.sql("create table t (n int)")
        sandbox.base_backup("base", "-X", "stream")
        names = []
        for number in range(4):
            sandbox.sql(f"insert into t select {number} from generate_series(1, 500)")
            names.append(sandbox.switch_wal())
        self._segments = tuple(names)
        sandbox.stop()

    def explained(self, case: Case) -> list[dict[str, Any]]:
        """Spoil, start, and explain what the server has logged."""
        place = self.sandbox.directory / f"case-{next(self._numbers)}"
        place.mkdir()
        broken = Broken(self.sandbox, place / "data", place / "wal", self._segments)
        shutil.copytree(self.sandbox.backups / "base", broken.data, symlinks=True)
        shutil.copytree(self.sandbox.wal, broken.archive)
        # Never into the archive of the other cases.
        broken.settings["archive_mode"] = "off"
        broken.settings["restore_command"] = f"cp {broken.archive}/%f %p"
        case.spoil(broken)
        if broken.signal:
            (broken.data / "recovery.signal").touch()
        lines = [f"{name} = {quote(value)}" for name, value in broken.settings.items()]
        with (broken.data / "postgresql.auto.conf").open("a") as configuration:
            configuration.write("\n".join([*lines, ""]))
        log = place / "log"
        self._hand_over(place)
        self._start(broken.data, log)
        config = replace(
            cluster_config(self.sandbox),
            data_directory=broken.data,
            wal_archive=broken.archive,
            log=log,
        )
        self.workspace.configure(config)
        told = document(self.workspace.run("explain", str(log), "--json", check=True))
        shutil.rmtree(place)
        findings: list[dict[str, Any]] = told["findings"]
        return findings

    def _hand_over(self, place: Path) -> None:
        account = self.sandbox.account
        for path in (place, *place.rglob("*")):
            os.chown(path, account.uid, account.gid, follow_symlinks=False)

    def _start(self, data: Path, log: Path) -> None:
        """Until it has opened or given up; then nothing of it runs any more."""
        tool = self.sandbox.binaries.program("pg_ctl")
        account = self.sandbox.account
        try:
            run_tool(
                account,
                (tool, "start", "-w", "-t", "30", "-D", str(data), "-l", str(log)),
                cwd=data.parent,
            )
            # It says so when it has opened; recovery may go on after that.
            settled = ("shut down", "accept connections", "pausing at the end")
            wait_until(
                lambda: any(word in log.read_text(errors="replace") for word in settled),
                "the end of the recovery",
            )
        except PgRescueError:
            assert log.exists()
        stop_servers_below(data)


@pytest.fixture(
    scope="module", params=["installed", pytest.param("embedded", marks=pytest.mark.slow)]
)
def stage(
    request: pytest.FixtureRequest, binaries_by_origin: Mapping[Origin, ServerBinaries]
) -> Iterator[Stage]:
    """One for all cases of a server."""
    if request.param not in binaries_by_origin:
        pytest.skip(f"there are no {request.param} PostgreSQL server binaries here")
    workspace = Workspace.make()
    try:
        yield Stage(workspace, binaries_by_origin[request.param])
    finally:
        workspace.destroy()


def set_to(**settings: str) -> Callable[[Broken], None]:
    return lambda broken: broken.settings.update(settings)


def command(text: str, target: str | None = None) -> Callable[[Broken], None]:
    def spoil(broken: Broken) -> None:
        broken.settings["restore_command"] = text
        if target is not None:
            broken.settings["recovery_target_time"] = target

    return spoil


def compress(broken: Broken) -> None:
    segment = broken.middle()
    segment.write_bytes(gzip.compress(segment.read_bytes()))


def damage(broken: Broken) -> None:
    """In the payload of a record: nothing but its CRC can tell."""
    content = bytearray(broken.middle().read_bytes())
    content[40 + 24 + 60] ^= 0x10
    broken.middle().write_bytes(content)


def as_of_another_cluster(broken: Broken) -> None:
    content = bytearray(broken.middle().read_bytes())
    content[24] ^= 0xFF
    broken.middle().write_bytes(content)


def gap(**settings: str) -> Callable[[Broken], None]:
    def spoil(broken: Broken) -> None:
        broken.middle().unlink()
        for name, value in settings.items():
            broken.settings[name] = value.replace("ARCHIVE", str(broken.archive))

    return spoil


def without_label(broken: Broken) -> None:
    (broken.data / "backup_label").unlink()


def without_signal(broken: Broken) -> None:
    broken.signal = False


def lower_than_the_primary(broken: Broken) -> None:
    broken.settings["max_connections"] = "11"


def of_another_version(broken: Broken) -> None:
    (broken.data / "PG_VERSION").write_text("11\n")


def torn_control_file(broken: Broken) -> None:
    os.truncate(broken.data / "global" / "pg_control", 100)


CASES: Mapping[str, Case] = {
    "wrong path": Case(
        "restore_command_fetched_nothing",
        command("cp /nowhere/%f %p", FAR),
        ("sets restore_command = cp /nowhere/%f %p",),
    ),
    "no such program": Case(
        "restore_command_not_executable",
        command("/nowhere/fetch %f %p"),
        ("sets restore_command = /nowhere/fetch",),
    ),
    "none": Case("restore_command_missing", command("")),
    "success for nothing": Case("restore_command_wrote_nothing", command("true", FAR)),
    "gap": Case("ended_at_gap", gap(), ("there is a gap", "has no 0000")),
    "gap, and a command that says nothing": Case(
        "ended_at_gap", gap(restore_command="cp ARCHIVE/%f %p 2>/dev/null"), ("there is a gap",)
    ),
    "gap and target": Case(
        "target_not_reached",
        gap(recovery_target_time=FAR),
        ("there is a gap", "sets recovery_target_time"),
    ),
    "compressed": Case("archived_file_wrong_size", compress, ("gzip",)),
    "damaged": Case("wal_damaged", damage, ("lies in 0000",)),
    "another cluster's": Case(
        "wal_of_another_cluster", as_of_another_cluster, ("has the system identifier",)
    ),
    "two targets": Case(
        "several_targets",
        set_to(recovery_target_time=FAR, recovery_target_name="x"),
        ("sets recovery_target_time", "sets recovery_target_name"),
    ),
    "too early": Case(
        "target_before_backup", set_to(recovery_target_time="2001-01-01 00:00:00+00")
    ),
    "timeline": Case("timeline_does_not_exist", set_to(recovery_target_timeline="7")),
    "time": Case("invalid_target_time", set_to(recovery_target_time="yesterday noon")),
    "unknown setting": Case("unknown_setting", set_to(no_such_setting="1")),
    "memory": Case("memory", set_to(shared_buffers="4000GB", huge_pages="off")),
    "connections": Case(
        "setting_lower_than_primary",
        lower_than_the_primary,
        ("max_connections is 11", "was 30 on the primary"),
    ),
    "mode": Case(
        "data_directory_permissions", lambda broken: broken.data.chmod(0o755), ("mode 0755",)
    ),
    "no signal": Case("started_without_recovery", without_signal, ("neither recovery.signal",)),
    "no label": Case("backup_label_missing", without_label),
    "version": Case("other_major_version", of_another_version, ("was written by PostgreSQL",)),
    "control file": Case("control_file_damaged", torn_control_file, ("100 bytes",)),
    "directory": Case(
        "directory_missing", lambda broken: (broken.data / "pg_replslot").rmdir(), ("is not there",)
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_failed_start_is_explained(stage: Stage, name: str) -> None:
    case = CASES[name]
    findings = stage.explained(case)
    assert findings, "nothing was found"
    assert findings[0]["code"] == case.code
    assert findings[0]["cause"]
    assert findings[0]["next"]
    for words in case.shows:
        assert words in findings[0]["evidence"]
