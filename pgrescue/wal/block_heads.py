"""Which relation's file the first block of each record belongs to, for many records at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pgrescue.wal.pages import Offsets
from pgrescue.wal.records import RECORD_HEADER, Batch

Numbers = npt.NDArray[np.uint32]

BLOCK_HEADER = 4
_LOCATOR_AND_BLOCK = 16
_HAS_IMAGE, _HAS_HOLE = 0x10, 0x01
SHORTEST = RECORD_HEADER + BLOCK_HEADER + _LOCATOR_AND_BLOCK
"""Bytes of the shortest record that refers to a block."""


@dataclass(frozen=True, slots=True)
class BlockHeads:
    """A column for each part of the first block's header, a row for each record."""

    is_first: npt.NDArray[np.bool_]
    """Whether the record begins with the header of block 0, as all that touch a heap do."""
    tablespaces: Numbers
    databases: Numbers
    filenodes: Numbers
    ends: Offsets
    """Where in the batch's data that header ends."""


def block_heads(batch: Batch, major: int) -> BlockHeads:
    """Read the first block's header of records that are at least `SHORTEST` bytes long."""
    first = batch.word(6)
    at = batch.starts + RECORD_HEADER + BLOCK_HEADER
    tablespaces, databases, filenodes = (batch.word(index) for index in (7, 8, 9))
    images = np.flatnonzero((first >> 8) & _HAS_IMAGE != 0)
    if len(images):
        at[images] = _behind_image(batch, at[images], major)
        for number, column in enumerate((tablespaces, databases, filenodes)):
            column[images] = unaligned(batch, at[images] + 4 * number)
    is_first = (first & 0xFF) == 0
    return BlockHeads(is_first, tablespaces, databases, filenodes, at + _LOCATOR_AND_BLOCK)


def unaligned(batch: Batch, at: Offsets) -> Numbers:
    """The 32-bit words at any offsets; those beyond the data are cut to its end."""
    data = batch.data
    at = np.minimum(at, len(data) - 4)
    return np.asarray(
        data[at].astype(np.uint32)
        | data[at + 1].astype(np.uint32) << 8
        | data[at + 2].astype(np.uint32) << 16
        | data[at + 3].astype(np.uint32) << 24
    )


def _behind_image(batch: Batch, at: Offsets, major: int) -> Offsets:
    """Where the relation is named, behind the header of a full-page image."""
    compressed = 0x02 if major < 15 else 0x1C
    bits = batch.data[at + 4]
    two_lengths = (bits & _HAS_HOLE != 0) & (bits & compressed != 0)
    return np.asarray(at + 5 + 2 * two_lengths)
