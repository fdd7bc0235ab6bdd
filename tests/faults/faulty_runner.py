"""A runner to which something happens: `python -m tests.faults.faulty_runner FAULT RUN PURPOSE`.

FAULT is a JSON object: `what` happens `before` or `after` the first record of that event whose text
holds `word`, or with the `nth` record that this runner writes.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from pgrescue.plan.work import combined_directory
from pgrescue.postgres.postmaster import process_title
from pgrescue.postgres.service import Command
from pgrescue.run.__main__ import main
from pgrescue.run.execution import RestoreExecution
from pgrescue.run.journal import RESERVE_BYTES, Journal, plain_record, reserve_room
from pgrescue.run.programs import Programs, Running
from pgrescue.run.records import AnyRecord, Progress
from pgrescue.run.run_directory import RunDirectory
from tests.faults.full_disk import fill


class Fault:
    """Waits for its moment in one runner's life."""

    def __init__(self, wanted: dict[str, object], run: RunDirectory) -> None:
        self._wanted = wanted
        self._run = run
        self._count = 0
        self._has_struck = False
        self._is_denied = False

    def install(self) -> None:
        """From here on every record is looked at."""
        append = Journal.append

        def appended(journal: Journal, record: AnyRecord) -> None:
            self._look(journal, record, "before")
            if self._is_denied:
                raise OSError(errno.EROFS, os.strerror(errno.EROFS), "journal.jsonl")
            append(journal, record)
            self._look(journal, record, "after")

        Journal.append = appended  # type: ignore[method-assign, assignment]
        start = Programs.start

        def started(programs: Programs, command: Command) -> Running:
            running = start(programs, command)
            if str(self._wanted.get("word")) in str(command) and not self._has_struck:
                self._strike_at(running.pid)
            return running

        Programs.start = started  # type: ignore[method-assign, assignment]

    def _strike_at(self, pid: int) -> None:
        match self._wanted["what"]:
            case "die with the program held":
                _await_program(pid)
                os.killpg(pid, signal.SIGSTOP)
                os.kill(os.getpid(), signal.SIGKILL)
            case "ask to stop with the program held":
                _await_program(pid)
                os.killpg(pid, signal.SIGSTOP)
                self._has_struck = True
                os.kill(os.getpid(), signal.SIGTERM)
            case "kill the program":
                self._has_struck = True
                os.killpg(pid, signal.SIGKILL)

    def _look(self, journal: Journal, record: AnyRecord, when: str) -> None:
        if isinstance(record, Progress):
            return
        if when == "before":
            self._count += 1
        if self._wanted["what"] == "try to start":
            if when == "after":
                self._try_to_start(record)
            return
        if not self._has_struck and when == self._wanted.get("when") and self._is_it(record):
            self._has_struck = True
            self._strike(journal)

    def _is_it(self, record: AnyRecord) -> bool:
        if "nth" in self._wanted:
            return self._count == self._wanted["nth"]
        plain = plain_record(record)
        return plain["event"] == self._wanted["event"] and str(
            self._wanted.get("word", "")
        ) in json.dumps(plain)

    def _strike(self, journal: Journal) -> None:
        match self._wanted["what"]:
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)
            case "fill":
                leave_only_the_reserve(journal)
                fill(self._run.path)
            case "deny":
                self._is_denied = True
            case other:
                raise AssertionError(f"nothing is called {other}")

    def _try_to_start(self, record: AnyRecord) -> None:
        """A colleague finds a data directory and starts its server, wherever there is one."""
        work = RestoreExecution(self._run.plan(), self._run, None).work  # type: ignore[arg-type]
        done = self._run.state()
        if not any(item.done for item in done.asides) or done.done("complete"):
            return
        for place in (work.data_directory, combined_directory(work)):
            argv = (f"{work.bin_directory}/pg_ctl", "start", "-w", "-t", "5", "-D", place)
            tried = subprocess.run(
                argv,
                cwd="/",
                capture_output=True,
                text=True,
                check=False,
                **(work.owner.spawn_arguments()),
            )
            said = {
                "event": plain_record(record)["event"],
                "step": done.step,
                "place": place,
                "there": Path(place, "PG_VERSION").exists(),
                "exit_code": tried.returncode,
                "said": tried.stdout + tried.stderr,
            }
            with Path(str(self._wanted["to"])).open("a") as file:
                file.write(json.dumps(said) + "\n")


def _await_program(pid: int) -> None:
    """Until a process has become the program that it was started for."""
    while process_title(pid).startswith("/bin/sh"):
        time.sleep(0.001)


def leave_only_the_reserve(journal: Journal) -> None:
    """As if a long run had used up what its journal had ahead beyond that."""
    os.ftruncate(journal._fd, journal._size)
    journal._reserved = journal._size + RESERVE_BYTES
    reserve_room(journal._fd, journal._reserved)


if __name__ == "__main__":
    Fault(json.loads(sys.argv[1]), RunDirectory(Path(sys.argv[2]))).install()
    main(sys.argv[2], sys.argv[3])
