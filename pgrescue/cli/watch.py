"""Following a run on a plain terminal or as JSON: event by event, or its end alone."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from pgrescue.cli.output import narrate, print_json
from pgrescue.errors import ExitCode
from pgrescue.plan.work import replaced, undo_does
from pgrescue.printable import printable
from pgrescue.run import records
from pgrescue.run.journal import plain_record
from pgrescue.run.status import exit_code_of, status_of

if TYPE_CHECKING:
    from pgrescue.run.records import AnyRecord
    from pgrescue.run.run_directory import RunDirectory
    from pgrescue.run.state import RunState

_POLL_SECONDS = 0.2
_QUIET_PROGRESS_SECONDS = 10.0
_EVIDENCE_LINES = 12
"""More than that, such as the trace of a defect, is for the report."""


def watch(directory: RunDirectory, *, as_json: bool, events: bool = True, position: int = 0) -> int:
    """Show a run until its runner ends; returns the exit code that its end means.

    As JSON, each event is an object of its own, or without `events` the end alone: what happens
    until then is then narrated. Interrupting this only stops the watching.
    """
    from pgrescue.run.follow import follow
    from pgrescue.run.notify import tell_interrupted

    teller = Teller()
    was_at_work = directory.state().state == "running"
    try:
        for record in follow(directory, position):
            if record is None:
                time.sleep(_POLL_SECONDS)
            elif not (as_json and events):
                teller.tell(record)
            elif not isinstance(record, records.Finished):
                print_json(plain_record(record))
    except KeyboardInterrupt:
        narrate(f"\nThe run goes on; pgrescue attach {directory.id} shows it again.")
        return ExitCode.INTERRUPTED
    state = directory.state()
    if was_at_work and state.state == "interrupted":
        tell_interrupted(directory)
    if as_json:
        print_json({"event": "finished", **status_of(state)})
    narrate(closing(state))
    return exit_code_of(state)


def closing(state: RunState) -> str:
    """The last words on a run: what is the case, and what to do next."""
    run = state.run
    lines = [f"Run {run}: {state.state}."]
    if state.reached is not None and state.purpose == "restore":
        point = state.reached
        last = f", last commit {point.time}" if point.time is not None else ""
        lines.append(f"  Reached LSN {point.lsn}{last}.")
    if state.error is not None:
        lines += [f"  {printable(state.error.title)}", f"  Cause: {printable(state.error.cause)}"]
        evidence = state.error.evidence.splitlines()
        if len(evidence) <= _EVIDENCE_LINES:
            lines += [f"    {printable(line)}" for line in evidence]
        lines += [f"  Next: {printable(step)}" for step in state.error.next]
    lines += [f"  Note: {printable(note)}" for note in state.notes_now]
    if state.kind == "prune":
        return "\n".join([*lines, *_after_removal(state)])
    if state.set_aside is not None:
        lines.append(f"  The old data is at {printable(state.set_aside)}.")
    if state.replaced_by:
        other = state.replaced_by
        return "\n".join([*lines, f"  {replaced(other)}", f"  Next: pgrescue status {other}"])
    return "\n".join([*lines, *_what_next(state)])


def _what_next(state: RunState) -> list[str]:
    run, lines = state.run, []
    if state.state == "succeeded" and state.replaces and state.done("tidy"):
        # The way from older backups leads over WAL that the archive may lack, and that is rescued.
        lines.append("  Next: pgrescue backup   soon: a base backup of the new timeline")
    match state.state:
        case "waiting":
            lines.append("  The server is paused at its target, open for reading only.")
            lines.append(
                "  A table that the first undone transaction drops stays locked until promoted."
            )
            lines.append(f"  Next: pgrescue resume {run}   promotes it")
            lines.append(f"  Next: pgrescue undo {run}     {undo_does(replaces=state.replaces)}")
        case "succeeded" if state.set_aside is not None:
            lines.append(f"  Next: pgrescue discard {run}  deletes it, once you are sure")
        case "interrupted" | "aborted":
            lines.append(f"  Next: pgrescue resume {run}  or  pgrescue undo {run}")
        case "undone" if state.kind == "restore":
            lines += ["  The old data is back in its place."] if state.replaces else []
            lines += [f"  What was restored lies in {printable(path)}." for path in state.retired]
            if state.retired:
                lines.append(f"  Next: pgrescue discard {run}  deletes it, once you are sure")
        case _:
            pass
    return lines


def _after_removal(state: RunState) -> list[str]:
    """Where the backups and the WAL are, and what to do next."""
    run = state.run
    lines = [f"  Set aside: {printable(item.aside)}" for item in state.asides]
    match state.state:
        case "succeeded" if state.asides:
            lines.append(f"  Next: pgrescue discard {run}  deletes it and frees the space")
            lines.append(f"  Next: pgrescue undo {run}     puts it back")
        case "succeeded":
            lines.append("  What was removed is deleted; the space is free.")
        case "undone":
            lines.append("  Everything is back in its place.")
        case "interrupted" | "aborted" if state.deletion_begun:
            lines.append(f"  Next: pgrescue resume {run}   goes on with the deletion")
        case "interrupted" | "aborted":
            lines.append(f"  Next: pgrescue resume {run}  or  pgrescue undo {run}")
        case _:
            pass
    return lines


class Teller:
    """Turns records into lines; progress overwrites itself on a terminal."""

    def __init__(self) -> None:
        self._on_terminal = sys.stderr.isatty()
        self._open_line = False
        self._last_progress = 0.0

    def tell(self, record: AnyRecord) -> None:
        """Say what a record means, if it means something to a person."""
        match record:
            case records.StepBegan():
                self._line(f"> {printable(record.title)}")
            case records.StepEnded():
                self._line(f"  done in {record.seconds:.1f} s: {printable(record.result)}")
            case records.Note():
                self._line(f"  note: {printable(record.message)}")
            case records.Progress():
                self._progress(record)
            case records.Finished():
                self._line("")
            case _:
                pass

    def _progress(self, record: records.Progress) -> None:
        now = time.monotonic()
        if not self._on_terminal and now - self._last_progress < _QUIET_PROGRESS_SECONDS:
            return
        self._last_progress = now
        text = f"  {printable(progress_text(record))}"
        if self._on_terminal:
            sys.stderr.write(f"\r{text[:78]:<78}")
            sys.stderr.flush()
            self._open_line = True
        else:
            narrate(text)

    def _line(self, text: str) -> None:
        if self._open_line:
            sys.stderr.write("\r" + " " * 78 + "\r")
            self._open_line = False
        if text:
            narrate(text)


def progress_text(record: records.Progress) -> str:
    """Progress in words: how much, how fast, how long still, and at what."""
    from humanize import naturalsize

    done = naturalsize(record.done_bytes, binary=True)
    parts = [done]
    if record.total_bytes:
        percent = min(100, record.done_bytes * 100 // record.total_bytes)
        parts = [f"{percent}% {done} of {naturalsize(record.total_bytes, binary=True)}"]
    if record.rate:
        parts.append(f"{naturalsize(record.rate, binary=True)}/s")
    if record.eta_seconds is not None:
        minutes, seconds = divmod(round(record.eta_seconds), 60)
        parts.append(f"about {minutes}:{seconds:02} left")
    if record.time is not None:
        parts.append(f"{record.time:%Y-%m-%d %H:%M:%S}Z")
    return "  ".join([*parts, record.detail])
