"""Coverage-guided fuzzing of everything that reads WAL; pytest does not collect it.

    pip install atheris
    python -m tests.wal.fuzz_walk DIRECTORY [options of libFuzzer]

DIRECTORY holds segments of a real server, such as an archive. Their first pages are what it starts
from; whatever it makes of them is read by pgrescue and by the simple reader in
`tests/support/naive_wal.py`, and both must see the same. It runs until it finds a difference or an
exception, which it leaves in the working directory as `crash-*`, or for as long as
`-max_total_time=SECONDS` says. A finding is read again with

    python -m tests.wal.fuzz_walk DIRECTORY crash-...
"""

from __future__ import annotations

import importlib
import random
import struct
import sys
import tempfile
from pathlib import Path

PAGES = 16
MAX_LENGTH = PAGES * 8192
SEEDS = 60
INSTRUMENTED = ["pgrescue.wal"]


def write_seeds(directory: Path, corpus: Path) -> None:
    """The first one to sixteen pages of real segments."""
    names = sorted(item for item in directory.iterdir() if len(item.name) == 24)
    for path in names[:: len(names) // SEEDS + 1]:
        with path.open("rb") as segment:
            content = segment.read(MAX_LENGTH)
        for pages in (1, 2, 4, PAGES):
            (corpus / f"{path.name}-{pages}").write_bytes(content[: pages * 8192])


def main(arguments: list[str]) -> None:
    """Fuzz until something is found or libFuzzer's options say that it is enough."""
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=INSTRUMENTED):
        properties = importlib.import_module("tests.wal.test_walk_properties")
    directory, *options = arguments

    def place_of(content: bytes) -> tuple[int, int]:
        """Where a segment with such a beginning might belong."""
        if len(content) < 24:
            return 0, 1
        timeline, address = struct.unpack_from("<IQ", content, 4)
        return address & ((1 << 62) - 1) & -(1 << 20), timeline

    def read(content: bytes) -> None:
        start, timeline = place_of(content)
        properties.compare(content, start, timeline, check_crc=False)
        properties.summarize_too(content, start, timeline)

    def change(content: bytes, max_size: int, seed: int) -> bytes:
        if seed % 2 or len(content) <= 8192:
            return bytes(atheris.Mutate(content, max_size))
        start, timeline = place_of(content)
        walk = properties.walk_segment(content, start, timeline, check_crc=False)
        records = [record.lsn - start for record in walk.records] or [40]
        other = random.Random(seed).randbytes(max_size)
        places = properties.Places(records, other)
        return bytes(properties.mutate(content, seed, places)[:max_size])

    with tempfile.TemporaryDirectory(prefix="pgrescue-fuzz-") as corpus:
        write_seeds(Path(directory), Path(corpus))
        again = [option for option in options if not option.startswith("-")]
        where = [] if again else [corpus]
        argv = [sys.argv[0], f"-max_len={MAX_LENGTH}", "-timeout=20", *options, *where]
        atheris.Setup(argv, read, custom_mutator=change)
        atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
