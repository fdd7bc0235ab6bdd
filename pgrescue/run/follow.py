"""Following a run's journal while it is written."""

from __future__ import annotations

from collections.abc import Iterator

from pgrescue.run.journal import parse_line
from pgrescue.run.records import AnyRecord
from pgrescue.run.run_directory import RunDirectory, is_runner_alive


def follow(run: RunDirectory, position: int = 0) -> Iterator[AnyRecord | None]:
    """The journal's records from a position in the file on, as they come, until its runner ends.

    Gives None whenever there is nothing new, so that whoever follows can wait or do other things.
    """
    with run.journal_path.open("rb") as file:
        file.seek(position)
        pending = b""
        while True:
            at_work = is_runner_alive(run.state())
            chunk = file.read()
            *lines, pending = (pending + chunk).split(b"\n")
            yield from (record for record in map(parse_line, lines) if record is not None)
            if not chunk:
                if not at_work:
                    return
                yield None


def journal_end(run: RunDirectory) -> int:
    """Where the journal ends now; `follow` from there shows only what is new."""
    return run.journal_path.stat().st_size
