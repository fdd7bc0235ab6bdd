"""The line is lost while a run is at work: the run goes on, nothing spins, a new line shows it.

Each way of losing it is played on a real restore. Its start command waits to be let go, so that
the run is at work for as long as a test likes.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from pgrescue.demo.binaries import ServerBinaries
from pgrescue.demo.processes import processes_with, wait_until
from tests.support.cluster import Workspace, cluster_config
from tests.support.command import command_environment
from tests.support.epochs import EpochLog
from tests.support.line import TIDY, Line, cpu_seconds
from tests.support.pg_service import ServiceScript
from tests.support.runs import journal, start_detached, status, wait_for_end, wait_for_step

pytestmark = [pytest.mark.server, pytest.mark.faults]

AT_WORK = "run RUNNING"
SPINNING = 0.5
"""The part of one processor that all processes of a run together must stay below."""


@dataclass
class Place:
    """A cluster with a backup, and at most one run on it, which waits for us to let it go."""

    workspace: Workspace
    log: EpochLog
    lines: list[Line] = field(default_factory=list)
    run: str = ""

    @property
    def _go(self) -> Path:
        return self.workspace.path / "go"

    def begin(self) -> None:
        """See to it that a run is at work."""
        if self.run and status(self.workspace, self.run)["state"] == "running":
            return
        self._go.unlink(missing_ok=True)
        self.run = start_detached(self.workspace, "--to", "latest", "--action", "promote")
        wait_for_step(self.workspace, self.run, "start")

    def let_go(self) -> dict[str, Any]:
        """Let the run come to its end; its status."""
        self._go.touch()
        return wait_for_end(self.workspace, self.run)

    @property
    def environment(self) -> dict[str, str]:
        """That of a shell on a line."""
        terminal = {"TERM": "xterm-256color", "LANG": "C.UTF-8"}
        return command_environment(self.workspace.state, terminal)

    @property
    def program(self) -> tuple[str, ...]:
        """The command that somebody types there."""
        return (sys.executable, "-m", "pgrescue", "-c", str(self.workspace.config))

    def line(self, *argv: str) -> Line:
        """A line with a program on it."""
        self.lines.append(Line(argv, self.environment, self.workspace.path))
        return self.lines[-1]

    def ui(self) -> Line:
        """A line with the UI, open on the run."""
        line = self.line(*self.program)
        line.expect(AT_WORK)
        return line

    def processes(self) -> set[int]:
        """Everything that any pgrescue here has started, itself included."""
        return set(processes_with("PGRESCUE_STATE", str(self.workspace.state)))

    def close_lines(self) -> None:
        """Leave no program behind."""
        while self.lines:
            self.lines.pop().close()


@pytest.fixture(scope="module")
def cluster(any_binaries: ServerBinaries) -> Iterator[Place]:
    """One cluster for all tests here."""
    workspace = Workspace.make()
    try:
        sandbox = workspace.sandbox(any_binaries)
        sandbox.init(segment_size_mb=1, settings={"autovacuum": "off"})
        sandbox.start()
        log = EpochLog(sandbox)
        log.mark("before the backup")
        sandbox.base_backup("full", "-Ft")
        log.mark("after it")
        sandbox.switch_wal()
        service = ServiceScript(sandbox)
        waiting = f"while ! test -e {workspace.path / 'go'}; do sleep 0.1; done"
        service.behave(start=f"{waiting}; {service.working['start']}")
        workspace.configure(replace(cluster_config(sandbox), service=service.spec))
        yield Place(workspace, log)
    finally:
        workspace.destroy()


@pytest.fixture
def place(cluster: Place) -> Iterator[Place]:
    """That cluster with a run at work."""
    cluster.begin()
    try:
        yield cluster
    finally:
        cluster.close_lines()


def hangs_up(place: Place) -> None:
    """The connection is dropped, and the terminal with it."""
    line = place.ui()
    line.hang_up()
    line.end()


def nohup(place: Place) -> None:
    """The same under nohup, where nobody hears of it by a signal."""
    line = place.line("sh", "-c", 'trap "" HUP; exec "$@"', "sh", *place.program)
    line.expect(AT_WORK)
    line.hang_up()
    line.end()


def is_killed(place: Place) -> None:
    """The terminal emulator is killed; here script(1) is one."""
    command = " ".join(place.program)
    line = place.line("script", "--quiet", "--command", command, "/dev/null")
    line.expect(AT_WORK)
    line.process.kill()
    line.process.wait()


def stalls(place: Place) -> None:
    """Nobody reads any more, but nobody hangs up: until the operator ends it from elsewhere."""
    before = place.processes()
    line = place.line(*place.program)
    time.sleep(4)
    not_spinning(place)
    assert place.processes() > before, "a line that stalls is no reason to give up"
    line.process.terminate()
    line.end(reading=False)
    assert line.settings == line.settings_before


def loses_its_ui_to(number: signal.Signals) -> Callable[[Place], None]:
    """The UI is ended by a signal; the terminal is still there."""

    def lose(place: Place) -> None:
        line = place.ui()
        assert line.settings != line.settings_before
        assert 1049 in line.modes
        os.kill(line.process.pid, number)
        line.end()
        line.read(1)
        assert line.settings == line.settings_before
        assert line.modes == TIDY

    lose.__name__ = f"ui-{number.name}"
    return lose


def tmux_dies(place: Place) -> None:
    """The multiplexer's server is ended under the UI."""
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    tmux = ("tmux", "-S", str(place.workspace.path / "tmux"), "-f", "/dev/null")

    def call(*arguments: str) -> str:
        command = [*tmux, *arguments]
        return subprocess.run(
            command, env=place.environment, capture_output=True, text=True, check=True
        ).stdout

    call("new-session", "-d", "-x", "80", "-y", "24", *place.program)
    wait_until(lambda: AT_WORK in call("capture-pane", "-p"), "the UI in tmux")
    call("kill-server")


def ssh_dies(place: Place) -> None:
    """The ssh client is killed; a real sshd is on the other side."""
    sshd = shutil.which("sshd", path="/usr/sbin:/usr/bin")
    if sshd is None or shutil.which("ssh") is None:
        pytest.skip("there is no sshd here")
    server, port = _start_sshd(place, sshd)
    try:
        names = ("PATH", "PYTHONPATH", "PGRESCUE_STATE", "LANG")
        environment = [f"{n}={v}" for n, v in place.environment.items() if n in names]
        line = place.line(
            *("ssh", "-tt", "-F", "/dev/null", "-p", str(port)),
            *("-i", str(place.workspace.path / "ssh/key")),
            *("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"),
            *("127.0.0.1", "env", *environment, *place.program),
        )
        line.expect(AT_WORK)
        line.process.kill()
        line.process.wait()
        wait_until(lambda: not viewers(place), "the end of the UI behind sshd", 20)
    finally:
        server.terminate()
        server.wait()


def _start_sshd(place: Place, sshd: str) -> tuple[subprocess.Popen[bytes], int]:
    home = place.workspace.path / "ssh"
    home.mkdir(exist_ok=True)
    for name in ("key", "host"):
        if not (home / name).exists():
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(home / name)]
            subprocess.run(command, check=True)
    shutil.copy(home / "key.pub", home / "authorized")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = int(held.getsockname()[1])
    (home / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {home}/host\n"
        f"AuthorizedKeysFile {home}/authorized\nStrictModes no\nUsePAM no\n"
        f"PasswordAuthentication no\nPermitRootLogin prohibit-password\nPidFile none\n"
    )
    log = (home / "log").open("wb")
    server = subprocess.Popen([sshd, "-D", "-e", "-f", str(home / "config")], stderr=log)
    wait_until(lambda: b"Server listening" in (home / "log").read_bytes(), "sshd")
    return server, port


def viewers(place: Place) -> set[int]:
    """Every `pgrescue` that shows the run, and its guardian."""
    return {pid for pid in place.processes() if b"pgrescue\0-c\0" in _command(pid)}


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def not_spinning(place: Place) -> None:
    """All processes of the run together use little of a processor."""
    pids = sorted(place.processes())
    before, seconds = cpu_seconds(pids), 1.5
    time.sleep(seconds)
    assert cpu_seconds(pids) - before < SPINNING * seconds


def survives(place: Place, lose: Callable[[Place], None]) -> None:
    """Lose the line in that way: only what showed the run is gone, and a new line shows it."""
    (started,) = [r for r in journal(place.workspace, place.run) if r["event"] == "started"]
    lose(place)
    wait_until(lambda: not viewers(place), "the end of what was on the line", 20)
    not_spinning(place)
    assert status(place.workspace, place.run)["state"] == "running"
    events = journal(place.workspace, place.run)
    assert [r["pid"] for r in events if r["event"] == "started"] == [started["pid"]]
    again = place.ui()
    again.expect("Start the server")
    again.type("\x11")
    assert again.end() == 0
    assert f"The run {place.run} goes on." in again.shown


EVERY_DAY = (hangs_up, loses_its_ui_to(signal.SIGKILL))
_BY_SIGNALS = (loses_its_ui_to(signal.SIGTERM), loses_its_ui_to(signal.SIGHUP))
WAYS = (*EVERY_DAY, nohup, is_killed, stalls, *_BY_SIGNALS, tmux_dies, ssh_dies)


@pytest.mark.parametrize("lose", EVERY_DAY, ids=lambda lose: lose.__name__)
def test_the_run_survives_its_line(place: Place, lose: Callable[[Place], None]) -> None:
    survives(place, lose)


@pytest.mark.slow
@pytest.mark.parametrize("lose", WAYS, ids=lambda lose: lose.__name__)
def test_the_run_comes_to_its_end_without_its_line(
    place: Place, lose: Callable[[Place], None]
) -> None:
    survives(place, lose)
    assert place.let_go()["state"] == "succeeded"
    assert place.log.rows_visible() == [1, 2]


@pytest.mark.slow
def test_attach_is_lost_as_well(place: Place) -> None:
    for end in (Line.hang_up, lambda line: line.process.kill()):
        line = place.line(*place.program, "attach")
        line.expect("> Start the server")
        end(line)
        line.end()
        wait_until(lambda: not viewers(place), "the end of what was on the line", 20)
    assert status(place.workspace, place.run)["state"] == "running"


@pytest.mark.slow
def test_all_viewers_see_the_same_end(place: Place) -> None:
    screen, leaving = place.ui(), place.ui()
    plain = place.line(*place.program, "attach")
    plain.expect("> Start the server")
    leaving.hang_up()
    leaving.end()
    place.let_go()
    screen.expect("run SUCCEEDED")
    screen.expect("DONE.")
    assert plain.end() == 0
    assert f"Run {place.run}: succeeded." in plain.shown
    screen.type("\x11")
    assert screen.end() == 0
    assert screen.settings == screen.settings_before
    assert screen.modes == TIDY
    assert place.log.rows_visible() == [1, 2]
