"""Full-page images become the pages that the server would make of them."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgrescue.demo.account import run_tool
from pgrescue.demo.binaries import ServerBinaries
from pgrescue.demo.sandbox import Sandbox
from pgrescue.errors import PgRescueError
from pgrescue.postgres.heap_page import PAGE_SIZE, page_tuples
from pgrescue.wal.page_image import ImageCompression, pglz_decompress, restore_page_image
from tests.conftest import SandboxFactory
from tests.support.raw_records import RawBlock, RawRecord, current_lsn, raw_records

SEGMENT_SIZE = 1 << 20
COMPRESSIONS: tuple[ImageCompression, ...] = ("none", "pglz", "lz4", "zstd")
GARBAGE_ROUNDS = 300

_SAVED = re.compile(r"\d{8}-(\w{8})-(\w{8})\.(\d+)\.(\d+)\.(\d+)\.(\d+)_(\w+)")
_FORKS = {"main": 0, "fsm": 1, "vm": 2, "init": 3}


def _touch(sandbox: Sandbox, compression: ImageCompression) -> list[RawRecord]:
    """Touch every page of a table just after a checkpoint; returns the records of that."""
    sandbox.sql("checkpoint")
    start = current_lsn(sandbox)
    value: str = "off" if compression == "none" else compression
    if value == "pglz" and sandbox.binaries.major < 15:
        value = "on"
    sandbox.sql(f"set wal_compression = {value}; update t set n = n + 1000000 where n % 40 = 7")
    return raw_records(sandbox, start, SEGMENT_SIZE)


def _images(records: list[RawRecord]) -> Iterator[tuple[RawRecord, RawBlock]]:
    for record in records:
        for block in record.blocks:
            if block.image is not None:
                yield record, block


def _restored(block: RawBlock) -> bytes | None:
    assert block.image is not None
    image = block.image
    return restore_page_image(image.data, image.hole_offset, image.hole_length, image.compression)


@pytest.mark.server
def test_images_of_every_compression_are_the_pages_that_the_server_makes_of_them(
    server_binaries: ServerBinaries, sandbox_factory: SandboxFactory
) -> None:
    sandbox = sandbox_factory(server_binaries, segment_size_mb=1)
    sandbox.sql(
        "create table t as select n, repeat(md5(n::text), 1 + n % 9) as v"
        " from generate_series(1, 400) n; create index on t (n); vacuum t"
    )
    (filenode,) = sandbox.sql("select pg_relation_filenode('t')")
    supported = {"none"}
    for compression in COMPRESSIONS:
        try:
            records = _touch(sandbox, compression)
        except PgRescueError:
            continue  # a build without that library
        images = list(_images(records))
        assert compression in {block.image.compression for _, block in images if block.image}
        heap = [
            block for _, block in images if block.relation[2] == int(filenode) and not block.fork
        ]
        assert heap
        for _, block in images:
            page = _restored(block)
            assert page is not None
            assert len(page) == PAGE_SIZE
        assert all(list(page_tuples(_restored(block) or b"")) for block in heap)
        if server_binaries.major >= 16:
            _compare_with_waldump(sandbox, images)
        supported.add(compression)
    assert "pglz" in supported


def _compare_with_waldump(sandbox: Sandbox, images: list[tuple[RawRecord, RawBlock]]) -> None:
    """Since 16, pg_waldump writes the restored pages out."""
    start, end = images[0][0].lsn, images[-1][0].lsn
    target = sandbox.directory / f"pages-{start:x}"
    argv = [sandbox.binaries.program("pg_waldump"), "-q", "-p", str(sandbox.data / "pg_wal")]
    argv += ["-s", str(start), "-e", str(end)]
    target.mkdir()
    target.chmod(0o777)
    run_tool(sandbox.account, [*argv, f"--save-fullpage={target}"], cwd=Path("/"))
    saved = {}
    for path in target.iterdir():
        found = _SAVED.fullmatch(path.name)
        assert found is not None, path.name
        high, low, *numbers = found.groups()[:6]
        lsn = int(high, 16) << 32 | int(low, 16)
        saved[(lsn, *map(int, numbers), _FORKS[found[7]])] = path.read_bytes()
    compared = [(record, block) for record, block in images if record.lsn < end]
    assert len(saved) == len(compared) > 1
    for record, block in compared:
        assert _restored(block) == saved[(record.lsn, *block.relation, block.block, block.fork)]


def _pglz(data: bytes) -> bytes:
    """A plain greedy encoder after the description of the format."""
    output, position = bytearray(), 0
    while position < len(data):
        control, items = 0, bytearray()
        for bit in range(8):
            if position >= len(data):
                break
            length, offset = _longest_match(data, position)
            if length < 3:
                items.append(data[position])
                position += 1
                continue
            control |= 1 << bit
            items += bytes((offset >> 4 & 0xF0 | min(length, 18) - 3, offset & 0xFF))
            if length >= 18:
                items.append(length - 18)
            position += length
        output += bytes((control,)) + items
    return bytes(output)


def _longest_match(data: bytes, position: int) -> tuple[int, int]:
    for length in range(min(273, len(data) - position), 2, -1):
        found = data.rfind(data[position : position + length], 0, position + length - 1)
        if found >= 0 and position - found <= 0xFFF:
            return length, position - found
    return 0, 0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([b"a", b"abc", b"\0" * 50, b"xyz" * 130, b"\x07"])).map(b"".join))
def test_pglz_gives_back_what_was_packed(data: bytes) -> None:
    assert pglz_decompress(_pglz(data), len(data)) == data


def test_a_match_may_reach_into_itself() -> None:
    assert pglz_decompress(b"\x02a\x0f\x01\x02", 21) == b"a" * 21


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (b"\x01\x00\x00", 3),  # a match of offset 0
        (b"\x01\x00\x01", 3),  # a match before the beginning
        (b"\x02a\x00", 4),  # a tag that is cut off
        (b"\x02a\x0f\x01", 19),  # a tag whose length is cut off
        (b"\x00abc", 4),  # too little
        (b"\x00abc", 2),  # too much
        (b"", 1),
    ],
)
def test_damaged_pglz_is_refused(data: bytes, size: int) -> None:
    assert pglz_decompress(data, size) is None


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_garbage_never_raises(compression: ImageCompression) -> None:
    chance = random.Random(4)
    for _ in range(GARBAGE_ROUNDS):
        image = chance.randbytes(chance.choice((0, 1, 7, 100, 3000)))
        if compression == "zstd":
            image = b"\x28\xb5\x2f\xfd" + image
        offset, length = chance.randrange(-1, 9000), chance.randrange(-1, 9000)
        page = restore_page_image(image, offset, length, compression)
        assert page is None or len(page) == PAGE_SIZE


@pytest.mark.parametrize("hole", [(8000, 200), (-1, 0), (0, -1), (9000, 0)])
def test_a_hole_outside_the_page_is_refused(hole: tuple[int, int]) -> None:
    assert restore_page_image(bytes(PAGE_SIZE - max(hole[1], 0)), *hole, "none") is None
