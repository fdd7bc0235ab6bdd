"""A runner that is struck at one exact place: `python -m tests.faults.struck_runner RUN PURPOSE`.

Everything it does to the outside is counted, before it is done: by kind, so that the n-th of a kind
is the same act in every run of a plan. PGRESCUE_TEST_BLOW says where the blow falls and of what
sort it is; without it the runner is left alone. PGRESCUE_TEST_TRACE names the file that takes
down what was counted, one JSON object a line.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from pgrescue.postgres.postmaster import find_postmaster
from pgrescue.run.__main__ import main
from pgrescue.run.journal import Journal, plain_record
from pgrescue.run.records import (
    AnyRecord,
    CommandBegan,
    Finished,
    Progress,
    StepBegan,
    StepEnded,
)
from pgrescue.run.run_directory import RunDirectory
from tests.support.files import file_tree

LARGE = 64 * 1024
"""Bytes after which the writing of a file is cut off; more than a run's journal ever has."""
_AUDITED = {
    "os.rename": "rename",
    "os.mkdir": "mkdir",
    "os.rmdir": "rmdir",
    "os.remove": "remove",
    "os.symlink": "symlink",
    "os.truncate": "truncate",
    "shutil.rmtree": "rmtree",
    "os.kill": "signal",
    "os.killpg": "signal",
}


class Watcher:
    """Counts what its own process does, and strikes where it was told to."""

    def __init__(self, run: RunDirectory) -> None:
        self._state = str(run.path.parent.parent)
        self._data = Path(run.plan().place)
        self._counts: Counter[str] = Counter()
        self._step = "begin"
        self._blow = json.loads(os.environ.get("PGRESCUE_TEST_BLOW", "null"))
        self._trace = os.environ.get("PGRESCUE_TEST_TRACE")
        self._manifests = os.environ.get("PGRESCUE_TEST_MANIFESTS")
        self._is_ours = False
        """Whether it is the watcher itself that acts."""

    def install(self) -> None:
        """From here on every act is counted."""
        sys.addaudithook(self._on_audit)
        append, begin = Journal.append, subprocess.Popen.__init__

        def appended(journal: Journal, record: AnyRecord) -> None:
            append(journal, record)
            self._on_record(record)

        def started(process: subprocess.Popen[bytes], *args: object, **named: object) -> None:
            self.acts("popen", str(args[0]))
            begin(process, *args, **named)  # type: ignore[call-overload]
            self.acts("popened", str(args[0]))

        Journal.append = appended  # type: ignore[method-assign, assignment]
        subprocess.Popen.__init__ = started  # type: ignore[method-assign, assignment]

    def acts(self, what: str, detail: str, record: AnyRecord | None = None) -> None:
        """One act; if it is the one that was meant, the blow falls."""
        self._counts[what] += 1
        nth = self._counts[what]
        if self._trace is not None:
            self._note({"what": what, "nth": nth, "step": self._step, "detail": detail})
        if self._blow is not None and (what, nth) == (self._blow["what"], self._blow["nth"]):
            self._apart(lambda: self._strike(record))

    def _on_audit(self, event: str, arguments: tuple[object, ...]) -> None:
        if self._is_ours:
            return
        if event == "open":
            self._on_open(arguments)
        elif event in _AUDITED:
            detail = _text(arguments[0])
            if not detail.startswith(self._state):
                self.acts(_AUDITED[event], detail)

    def _on_open(self, arguments: tuple[object, ...]) -> None:
        path, _, flags = arguments
        detail = _text(path)
        if not isinstance(flags, int) or not isinstance(path, str | bytes | os.PathLike):
            return
        is_device = detail.startswith("/dev/") and not detail.startswith("/dev/shm/")
        if is_device or detail.startswith((self._state, "/proc/")):
            return
        if flags & (os.O_WRONLY | os.O_RDWR):
            self.acts("write", detail)
        elif flags & os.O_DIRECTORY:
            self.acts("sync", detail)

    def _on_record(self, record: AnyRecord) -> None:
        if isinstance(record, Progress):
            return  # how many there are depends on the clock
        if isinstance(record, StepBegan):
            self._step = record.step
        if isinstance(record, Finished):
            self._step = "end"
        self._apart(lambda: self._take_manifest(record))
        self.acts(f"record {plain_record(record)['event']}", "", record)

    def _take_manifest(self, record: AnyRecord) -> None:
        """Every byte of the old cluster when no server runs: after the stop, before a start."""
        if self._manifests is None or not self._data.exists():
            return  # a stop that is repeated finds it set aside already
        if isinstance(record, StepEnded) and record.step == "stop":
            name = "stopped"
        elif isinstance(record, StepBegan) and record.step == "undo_start":
            name = "returned"
        else:
            return
        tree = {path: asdict(entry) for path, entry in file_tree(self._data).items()}
        Path(self._manifests, f"{name}.json").write_text(json.dumps(tree))

    def _strike(self, record: AnyRecord | None) -> None:
        match self._blow["how"]:
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "term":
                os.kill(os.getpid(), signal.SIGTERM)
            case "half":
                # The kernel writes as many bytes as the limit allows, and kills at the next one.
                signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
                resource.setrlimit(resource.RLIMIT_FSIZE, (LARGE, LARGE))
            case "child":
                assert isinstance(record, CommandBegan)
                os.killpg(record.pid, signal.SIGKILL)
            case "server":
                postmaster = find_postmaster(self._data)
                assert postmaster is not None
                os.kill(postmaster.pid, signal.SIGKILL)
            case other:
                raise AssertionError(f"there is no blow called {other}")

    def _note(self, what: dict[str, object]) -> None:
        def write() -> None:
            with Path(str(self._trace)).open("a") as file:
                file.write(json.dumps(what) + "\n")

        self._apart(write)

    def _apart(self, act: Callable[[], None]) -> None:
        """What the watcher does itself is not counted."""
        before, self._is_ours = self._is_ours, True
        try:
            act()
        finally:
            self._is_ours = before


def _text(path: object) -> str:
    return os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else str(path)


if __name__ == "__main__":
    watcher = Watcher(RunDirectory(Path(sys.argv[1])))
    watcher.install()
    watcher.acts("process", "")
    main(sys.argv[1], sys.argv[2])
