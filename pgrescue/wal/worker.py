"""Summaries of segments by further processes.

A worker reads its tasks from its standard input and ends with it: whatever becomes of the process
that started it, none is left behind.
"""

from __future__ import annotations

import contextlib
import os
import struct
import subprocess
import sys
from typing import IO

import msgspec

from pgrescue.wal.index_store import decode_summary, encode_summary
from pgrescue.wal.pages import SegmentFile
from pgrescue.wal.summarize import summarize
from pgrescue.wal.summary import SegmentSummary

_LENGTH = struct.Struct("<I")
_PROGRAM = "from pgrescue.wal.worker import main; main()"


class Task(msgspec.Struct, frozen=True):
    """A segment to walk."""

    path: bytes
    """As the file system has it: not every name is text."""
    start: int
    timeline: int
    check_crc: bool

    def do(self) -> SegmentSummary:
        """Walk it here and now."""
        return summarize(
            SegmentFile(os.fsdecode(self.path)), self.start, self.timeline, check_crc=self.check_crc
        )


class WorkerLost(Exception):
    """A worker did not start, or ended in the middle of its work: killed, or out of memory."""


class Worker:
    """A process that does one task after another."""

    def __init__(self) -> None:
        """Raises `WorkerLost` where no process can be started."""
        try:
            self._process = subprocess.Popen(
                # -P: nothing is imported from the directory in which we happen to be.
                (sys.executable, "-P", "-c", _PROGRAM),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        except OSError as error:
            raise WorkerLost from error

    def do(self, task: Task) -> SegmentSummary:
        """Have a task done; raises `WorkerLost`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            _send(self._process.stdin, msgspec.msgpack.encode(task))
            answer = _receive(self._process.stdout)
        except (OSError, ValueError) as error:  # ValueError: `close` was quicker
            raise WorkerLost from error
        if answer is None:
            raise WorkerLost
        try:
            return decode_summary(answer)
        except msgspec.MsgspecError as error:
            raise WorkerLost from error

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):  # what was never sent cannot be sent any more
                    stream.close()


def main() -> None:
    """The worker's own side."""
    decoder = msgspec.msgpack.Decoder(Task)
    try:
        while (content := _receive(sys.stdin.buffer)) is not None:
            _send(sys.stdout.buffer, encode_summary(decoder.decode(content).do()))
    except (BrokenPipeError, KeyboardInterrupt):
        return


def _send(stream: IO[bytes], content: bytes) -> None:
    stream.write(_LENGTH.pack(len(content)) + content)
    stream.flush()


def _receive(stream: IO[bytes]) -> bytes | None:
    length = stream.read(_LENGTH.size)
    if len(length) < _LENGTH.size:
        return None
    (size,) = _LENGTH.unpack(length)
    content = stream.read(size)
    return content if len(content) == size else None
