"""A demo from its first to its last breath: build or reopen, play or show, stop, take away."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pgrescue.demo import headless, story
from pgrescue.demo.binaries import find_server_binaries
from pgrescue.demo.directory import DemoDirectory, chosen_directory, fresh_directory
from pgrescue.demo.interruption import Interruption
from pgrescue.demo.processes import stop_processes_with, stop_servers_below
from pgrescue.demo.sandbox import Sandbox
from pgrescue.errors import UsageError

MARK = "PGRESCUE_DEMO"
"""In the environment of everything that a demo starts, so that it can be found and ended."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for."""

    directory: Path | None
    """None: a temporary one."""
    keep: bool
    """Whether a temporary directory stays after a headless run that went well."""


@dataclass(frozen=True, slots=True)
class Report:
    """How a headless demo went."""

    ok: bool
    directory: str
    kept: bool
    server_version: str
    acts: tuple[headless.Outcome, ...]
    schema: int = 1


def run_headless(request: Request, say: story.Say) -> Report:
    """Build a demo, play its story, compare; raises `KeyboardInterrupt` when told to end."""
    interruption = Interruption()
    with interruption.watched():
        demo = _directory(request)
        if demo.is_complete:
            raise UsageError(
                f"{demo.path} holds a demo that was played with already.",
                "--headless starts from the beginning.",
                next_steps=("choose another --dir, or leave it out",),
            )
        with _alive(demo, interruption, request, say) as sandbox:
            truth = story.tell(demo, sandbox, say)
            outcomes = headless.play(demo, sandbox, truth, say)
        ok = not any(outcome.differences for outcome in outcomes)
        keep = request.keep or request.directory is not None or not ok
        if not keep:
            with interruption.held():
                _take_away(demo, sandbox)
        say(f"The demo's directory {'stays' if keep else 'was removed'}: {demo.path}")
    return Report(ok, str(demo.path), keep, truth.server_version, tuple(outcomes))


def run_in_ui(request: Request, say: story.Say, open_ui: Callable[[Path, str], int]) -> int:
    """Build or reopen a demo and open the UI on it, with a word on what happened in it.

    Returns the UI's exit code.
    """
    interruption = Interruption()
    with interruption.watched():
        demo = _directory(request)
        with _alive(demo, interruption, request, say) as sandbox:
            if not demo.is_complete:
                story.tell(demo, sandbox, say)
            os.environ["PGRESCUE_CONFIG"] = str(demo.config)
            os.environ["PGRESCUE_STATE"] = str(demo.state)
            code = open_ui(demo.config, _what_happened(story.read_truth(demo)))
        say(f"The server is stopped. Come back with: pgrescue demo --dir {demo.path}")
    return code


def _what_happened(truth: story.Truth) -> str:
    lost = truth.before_drop[truth.dropped_table].rows
    return (
        f"This is a sandbox. Transaction {truth.drop_xid} dropped the table "
        f"{truth.dropped_table} with its {lost} rows, and work went on. Find it among the "
        "incidents (i), and restore to just before it."
    )


def _directory(request: Request) -> DemoDirectory:
    if request.directory is None:
        return fresh_directory()
    return chosen_directory(request.directory)


@contextmanager
def _alive(
    demo: DemoDirectory, interruption: Interruption, request: Request, say: story.Say
) -> Iterator[Sandbox]:
    """The demo's running sandbox; at the end nothing of it runs any more.

    A demo whose building is interrupted is taken away, as nobody could go on with it.
    """
    say(f"The demo's directory: {demo.path}")
    sandbox = _sandbox(demo)
    binaries = sandbox.binaries
    say(
        f"PostgreSQL {binaries.version_text} from {binaries.bin_directory}, "
        f"run by '{sandbox.account.name}'."
    )
    os.environ[MARK] = str(demo.path)
    try:
        if not demo.is_complete:
            story.build(demo, sandbox)
        if not sandbox.is_running():
            with interruption.held():
                sandbox.start()
        yield sandbox
    except KeyboardInterrupt:
        with interruption.held():
            _stop_everything(demo)
            if not (demo.is_complete or request.keep):
                _take_away(demo, sandbox)
        raise
    finally:
        with interruption.held():
            _stop_everything(demo)


def _sandbox(demo: DemoDirectory) -> Sandbox:
    try:
        return Sandbox(demo.cluster, find_server_binaries(demo.path))
    except BaseException:
        if not demo.is_complete:
            demo.clear()
        raise


def _stop_everything(demo: DemoDirectory) -> None:
    stop_processes_with(MARK, str(demo.path))
    stop_servers_below(demo.path)


def _take_away(demo: DemoDirectory, sandbox: Sandbox) -> None:
    sandbox.destroy()
    demo.clear()
