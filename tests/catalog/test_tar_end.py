"""Where a compressed file ends is told from its framing."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import lz4.frame
import pytest
import zstandard

from pgrescue.catalog.tar_end import ends_plausibly, zstd_frames_are_whole

RANDOM = os.urandom(700 * 512)
RUNS = bytes(300_000) + b"x" * 300_000


def _zstd(data: bytes, checksum: bool) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=checksum).compress(data)


def _streamed(data: bytes) -> bytes:
    """Without the content's size in the header, as pg_basebackup writes it."""
    compressor = zstandard.ZstdCompressor().compressobj()
    return compressor.compress(data) + compressor.flush()


SKIPPABLE = (0x184D2A50).to_bytes(4, "little") + (5).to_bytes(4, "little") + b"12345"
ZSTD = {
    "random": _zstd(RANDOM, checksum=False),
    "with checksum": _zstd(RANDOM, checksum=True),
    "run-length blocks": _zstd(RUNS, checksum=True),
    "streamed": _streamed(RUNS + RANDOM),
    "two frames": _zstd(RANDOM, checksum=True) + _streamed(RUNS),
    "skippable frame": _streamed(RUNS) + SKIPPABLE + _zstd(RANDOM, checksum=True),
}


@pytest.mark.parametrize("name", ZSTD)
def test_whole_zstd_frames(tmp_path: Path, name: str) -> None:
    path = tmp_path / "base.tar.zst"
    path.write_bytes(ZSTD[name])
    assert zstd_frames_are_whole(path)


@pytest.mark.parametrize("name", ZSTD)
def test_every_cut_of_a_zstd_file_is_noticed(tmp_path: Path, name: str) -> None:
    path = tmp_path / "base.tar.zst"
    data = ZSTD[name]
    frames = {len(_zstd(RANDOM, checksum=True)), len(_streamed(RUNS))}
    frames.add(len(_streamed(RUNS) + SKIPPABLE))  # between frames nothing shows a cut
    for size in {*range(0, len(data), 997), *range(len(data) - 30, len(data))} - frames:
        if size < 0:
            continue
        path.write_bytes(data[:size])
        assert not zstd_frames_are_whole(path), size


@pytest.mark.parametrize(
    ("name", "compress"),
    [
        ("base.tar.gz", gzip.compress),
        ("base.tar.lz4", lz4.frame.compress),
        ("base.tar.lz4", lambda data: lz4.frame.compress(data, content_checksum=True)),
    ],
)
def test_ends_of_gzip_and_lz4(
    tmp_path: Path, name: str, compress: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / name
    data = compress(RANDOM)
    path.write_bytes(data)
    assert ends_plausibly(path)
    for size in (0, 1, 10):
        path.write_bytes(data[:size])
        assert not ends_plausibly(path)
    path.write_bytes(data[:-1000] + b"\x01\x01\x01\x01")
    assert not ends_plausibly(path)
