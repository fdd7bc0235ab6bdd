"""The index of an archive: summaries of its segments, made when they are asked for."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from pgrescue.postgres.lsn import Lsn
from pgrescue.wal.index_store import IndexStore, stamp_of
from pgrescue.wal.pages import Identity, SegmentFile, WalSource
from pgrescue.wal.summarize import summarize
from pgrescue.wal.summary import SegmentSummary
from pgrescue.wal.worker import Task, Worker, WorkerLost

Progress = Callable[[int, int], None]
"""Called with how many segments are done, and of how many."""

_WORTH_A_WORKER = 24
"""Segments that take about as long to walk as a worker takes to start."""
_KEPT_AT_ONCE = 64
MAX_WORKERS = 4
_TOO_MANY = (1.2, 1000)
"""So many summaries for each file that is there, and so many more."""


@dataclass(frozen=True, slots=True)
class SegmentRef:
    """A segment of a way through the WAL, and where its bytes are."""

    name: str
    timeline: int
    start: Lsn
    source: WalSource

    @property
    def path(self) -> str | None:
        """Its file, if it is one of its own."""
        return self.source.path if isinstance(self.source, SegmentFile) else None


class WalIndex:
    """Summaries by segment; several threads may ask."""

    def __init__(self, store: IndexStore, workers: int | None = None) -> None:
        """`workers` further processes at most; None: as many as there are processors."""
        self._store = store
        self._lock = threading.Lock()
        self._known: dict[str, tuple[bytes, SegmentSummary]] = {}
        """By identity, each with the stamp of the file that was read."""
        processors = len(os.sched_getaffinity(0))
        self._workers = min(processors, MAX_WORKERS) if workers is None else workers

    def known(self, ref: SegmentRef, *, checked: bool = False) -> SegmentSummary | None:
        """A summary that is there already, in memory or on disk."""
        identity = ref.source.identity()
        if identity is None:
            return None
        stamp = stamp_of(identity.file)
        if stamp is None:
            return None
        with self._lock:
            before, summary = self._known.get(identity.key, (b"", None))
            if before != stamp or (checked and summary is not None and not summary.checked):
                summary = self._store.get(identity.key, stamp, checked=checked)
            # A file of this name can have been taken for a segment of another size.
            if summary is None or (summary.start, summary.timeline) != (ref.start, ref.timeline):
                return None
            self._known[identity.key] = (stamp, summary)
        return summary

    def in_memory(self, ref: SegmentRef) -> SegmentSummary | None:
        """A summary that has been asked for before: nothing is read for it."""
        identity = ref.source.identity()
        return self._known.get(identity.key, (b"", None))[1] if identity is not None else None

    def summary(self, ref: SegmentRef, *, checked: bool = False) -> SegmentSummary:
        """One segment's summary; with `checked` the CRC of every record has been compared."""
        (found,) = self.summaries((ref,), checked=checked)
        return found

    def summaries(
        self,
        refs: Sequence[SegmentRef],
        *,
        checked: bool = False,
        progress: Progress | None = None,
    ) -> list[SegmentSummary]:
        """All of them, in the order of `refs`."""
        found: dict[str, SegmentSummary] = {}
        for ref, summary in self.stream(refs, checked=checked):
            found[ref.name] = summary
            if progress is not None:
                progress(len(found), len(refs))
        return [found[ref.name] for ref in refs]

    def stream(
        self, refs: Sequence[SegmentRef], *, checked: bool = False
    ) -> Iterator[tuple[SegmentRef, SegmentSummary]]:
        """What is known at once, then the rest as it is read: the first of `refs` first.

        Whoever stops asking stops the reading.
        """
        missing: list[SegmentRef] = []
        for ref in refs:
            summary = self.known(ref, checked=checked)
            if summary is None:
                missing.append(ref)
            else:
                yield ref, summary
        kept: list[tuple[str, bytes, SegmentSummary]] = []
        try:
            for ref, stamp, summary in self._read(missing, checked):
                identity = ref.source.identity()
                if identity is not None and stamp is not None and stamp == _stamp(identity):
                    kept.append((identity.key, stamp, summary))
                if len(kept) >= _KEPT_AT_ONCE:
                    self._keep(kept)
                yield ref, summary
        finally:
            self._keep(kept)

    def tidy(self, directory: str, there: Collection[str]) -> None:
        """Forget files of a directory that are no more, where they have become many.

        `there`: the files that are in it now.
        """
        with self._lock:
            stored = self._store.count(directory)
            if stored > _TOO_MANY[0] * len(there) + _TOO_MANY[1]:
                self._store.forget_gone(directory, there)

    def _keep(self, entries: list[tuple[str, bytes, SegmentSummary]]) -> None:
        if entries:
            with self._lock:
                self._store.put(entries)
                self._known |= {path: (stamp, summary) for path, stamp, summary in entries}
        entries.clear()

    def _read(
        self, refs: Sequence[SegmentRef], checked: bool
    ) -> Iterator[tuple[SegmentRef, bytes | None, SegmentSummary]]:
        in_files = [ref for ref in refs if ref.path is not None]
        count = min(self._workers, len(in_files) // _WORTH_A_WORKER)
        if count < 2:
            for ref in refs:
                yield _read_here(ref, checked)
            return
        for ref in refs:
            if ref.path is None:
                yield _read_here(ref, checked)
        yield from _with_workers(in_files, checked, count)


def _stamp(identity: Identity | None) -> bytes | None:
    return stamp_of(identity.file) if identity is not None else None


def _read_here(ref: SegmentRef, checked: bool) -> tuple[SegmentRef, bytes | None, SegmentSummary]:
    stamp = _stamp(ref.source.identity())
    return ref, stamp, _summarize(ref, checked)


def _summarize(ref: SegmentRef, checked: bool) -> SegmentSummary:
    return summarize(ref.source, ref.start, ref.timeline, check_crc=checked)


def _with_workers(
    refs: Sequence[SegmentRef], checked: bool, count: int
) -> Iterator[tuple[SegmentRef, bytes | None, SegmentSummary]]:
    """Each worker is fed by a thread of its own; what a lost worker had in hand is done here."""
    tasks: SimpleQueue[SegmentRef] = SimpleQueue()
    results: SimpleQueue[tuple[SegmentRef, bytes | None, SegmentSummary | None]] = SimpleQueue()
    for ref in refs:
        tasks.put(ref)
    workers: list[Worker] = []
    with contextlib.suppress(WorkerLost):
        for _ in range(count):
            workers.append(Worker())
    threads = [
        threading.Thread(target=_feed, args=(worker, tasks, results, checked), daemon=True)
        for worker in workers
    ]
    try:
        for thread in threads:
            thread.start()
        for _ in refs:
            ref, stamp, summary = _next(tasks, results, threads)
            if summary is None:
                stamp = stamp_of(ref.path or "")
                summary = _summarize(ref, checked)
            yield ref, stamp, summary
    finally:
        _drain(tasks)
        for worker in workers:
            worker.close()
        for thread in threads:
            thread.join()


def _feed(
    worker: Worker,
    tasks: SimpleQueue[SegmentRef],
    results: SimpleQueue[tuple[SegmentRef, bytes | None, SegmentSummary | None]],
    checked: bool,
) -> None:
    while True:
        try:
            ref = tasks.get_nowait()
        except Empty:
            return
        assert ref.path is not None
        stamp = stamp_of(ref.path)
        try:
            task = Task(os.fsencode(ref.path), int(ref.start), ref.timeline, checked)
            results.put((ref, stamp, worker.do(task)))
        except WorkerLost:
            results.put((ref, None, None))
            return


def _next(
    tasks: SimpleQueue[SegmentRef],
    results: SimpleQueue[tuple[SegmentRef, bytes | None, SegmentSummary | None]],
    threads: Sequence[threading.Thread],
) -> tuple[SegmentRef, bytes | None, SegmentSummary | None]:
    while True:
        working = any(thread.is_alive() for thread in threads)
        try:
            return results.get(timeout=0.2) if working else results.get_nowait()
        except Empty:
            if not working:
                return tasks.get_nowait(), None, None


def _drain(tasks: SimpleQueue[SegmentRef]) -> None:
    while True:
        try:
            tasks.get_nowait()
        except Empty:
            return
