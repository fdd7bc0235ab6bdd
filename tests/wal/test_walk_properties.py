"""The reader of WAL on segments to which something has happened: it never fails, always ends,
and reads what a simple reader reads.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pgrescue.postgres.lsn import Lsn
from pgrescue.wal.events import events_of
from pgrescue.wal.index import SegmentRef, WalIndex
from pgrescue.wal.index_store import IndexStore, decode_summary, encode_summary
from pgrescue.wal.record import Record, parse_record
from pgrescue.wal.row_changes import RowCounter
from pgrescue.wal.stretch import Stretch, read_stretch, single
from pgrescue.wal.summarize import summarize
from pgrescue.wal.transactions import parse_transaction_end
from pgrescue.wal.walk import SegmentWalk
from tests.support.naive_wal import NaiveRecord, NaiveWalk, walk_segment
from tests.support.segment_bytes import SegmentBytes
from tests.support.wal_workload import RealWal
from tests.support.wal_writer import SEGMENT, WalWriter

pytestmark = pytest.mark.server

PAGE = 8192
CHUNKS = (1, 2, 7, 256)
KINDS = {
    "not_wal": {"not_wal"},
    "page": {"recycled", "invalid"},
    "no_page": {"short"},
    "switch": {"switched"},
    "end": {"whole"},
    "goes_on": {"whole"},
    "passes_through": {"whole"},
}
fixture_is_constant = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@dataclass(frozen=True, slots=True)
class Seen:
    """Everything that a walk tells."""

    records: list[tuple[int, bytes]]
    kind: str
    end: int
    reason: str
    first: int
    first_prev: int | None
    last: int | None
    count: int
    continued: int
    overwrites: bool
    passes_through: bool
    head: bytes
    unfinished: bytes


def see(content: bytes, start: int, timeline: int, *, check_crc: bool, chunk_pages: int) -> Seen:
    """Walk a segment to its end."""
    walk = SegmentWalk(
        SegmentBytes(content), start, timeline, check_crc=check_crc, chunk_pages=chunk_pages
    )
    records = [
        (int(batch.positions[index]), batch.bytes_of(index))
        for batch in walk.batches()
        for index in range(len(batch))
    ]
    return Seen(
        records=records,
        kind=walk.end.kind,
        end=walk.end.position,
        reason=walk.end.reason,
        first=walk.first_position,
        first_prev=walk.first_prev,
        last=walk.last_position,
        count=walk.records,
        continued=walk.continued,
        overwrites=walk.overwrites,
        passes_through=walk.passes_through,
        head=walk.head,
        unfinished=walk.unfinished.content if walk.unfinished else b"",
    )


def compare(content: bytes, start: int, timeline: int = 1, *, check_crc: bool = True) -> NaiveWalk:
    """Hold the reader against the simple one, for every number of pages read at once."""
    naive = walk_segment(content, start, timeline, check_crc=check_crc)
    wholes = [
        see(content, start, timeline, check_crc=check_crc, chunk_pages=pages) for pages in CHUNKS
    ]
    seen = wholes[-1]
    for other in wholes[:-1]:
        assert other == seen
    assert [position for position, _ in seen.records] == [record.lsn for record in naive.records]
    assert [record for _, record in seen.records] == [record.content for record in naive.records]
    kinds = {"zeros"} if naive.blank else KINDS.get(naive.why, {"invalid"})
    assert seen.kind in kinds, (seen.kind, seen.reason, naive.why)
    assert seen.end == naive.end, (Lsn(seen.end), Lsn(naive.end), naive.why, seen.reason)
    assert seen.unfinished == naive.unfinished
    assert seen.count == len(seen.records)
    assert seen.passes_through == (naive.why == "passes_through")
    assert seen.continued == naive.continued
    assert seen.overwrites or not naive.given_up
    return naive


def summarize_too(content: bytes, start: int, timeline: int = 1) -> None:
    """Whatever it is, a summary can be made of it, and be stored."""
    for check_crc in (False, True):
        summary = summarize(SegmentBytes(content), start, timeline, check_crc=check_crc)
        assert decode_summary(encode_summary(summary)) == summary


def stretch_of(refs: Sequence[SegmentRef], *, checked: bool = False) -> Stretch:
    """All of it, as far as it goes."""
    index = WalIndex(IndexStore(None), workers=0)
    stretch = read_stretch(index, refs, index.summary(refs[0]).first, checked=checked)
    assert stretch is not None
    return stretch


def positions_of(stretch: Stretch) -> list[int]:
    """Where the records of a stretch begin."""
    return [
        int(position)
        for number in range(len(stretch.pieces))
        for batch in stretch.records_of(number)
        for position in batch.positions
    ]


# ---- what may happen to a segment

Mutation = Callable[[bytearray, random.Random, "Places"], None]


@dataclass(frozen=True, slots=True)
class Places:
    """Where records begin in a segment, and other bytes to take from."""

    records: Sequence[int]
    other: bytes

    def record(self, chance: random.Random, size: int) -> int:
        """Where one begins that is not wholly behind the end."""
        return chance.choice([at for at in self.records if at + 24 <= size] or [0])


def _flip(content: bytearray, chance: random.Random, _places: Places) -> None:
    at = chance.randrange(len(content) * 8)
    content[at >> 3] ^= 1 << (at & 7)


def _flip_in_header(content: bytearray, chance: random.Random, places: Places) -> None:
    at = places.record(chance, len(content)) + chance.choice((0, 1, 2, 3, 8, 9, 10, 15, 16, 17))
    content[min(at, len(content) - 1)] ^= 1 << chance.randrange(8)


def _flip_in_page_header(content: bytearray, chance: random.Random, _places: Places) -> None:
    at = chance.randrange(0, max(len(content) - PAGE, 1), PAGE) + chance.randrange(24)
    content[at] ^= 1 << chance.randrange(8)


def _flags(content: bytearray, chance: random.Random, _places: Places) -> None:
    at = chance.randrange(0, max(len(content) - PAGE, 1), PAGE)
    content[at + 2] = chance.randrange(16)


def _rest(content: bytearray, chance: random.Random, _places: Places) -> None:
    at = chance.randrange(0, max(len(content) - PAGE, 1), PAGE)
    (rest,) = struct.unpack_from("<I", content, at + 16)
    changed = chance.choice((0, rest + 8, max(rest - 8, 0), rest + 3 * SEGMENT, 2**32 - 1, 8128))
    struct.pack_into("<I", content, at + 16, changed & 0xFFFFFFFF)


def _length(content: bytearray, chance: random.Random, places: Places) -> None:
    lengths = (0, 1, 8, 23, 24, 25, 32, 8168, 20000, 200_000, SEGMENT, 1 << 30, 2**32 - 1)
    struct.pack_into("<I", content, places.record(chance, len(content)), chance.choice(lengths))


def _zero(content: bytearray, chance: random.Random, places: Places) -> None:
    begin = chance.choice((places.record(chance, len(content)), chance.randrange(len(content))))
    end = min(begin + chance.choice((1, 8, 24, 32, 500, PAGE, 5 * PAGE)), len(content))
    content[begin:end] = bytes(end - begin)


def _zero_tail(content: bytearray, chance: random.Random, places: Places) -> None:
    begin = chance.choice((places.record(chance, len(content)), chance.randrange(len(content))))
    content[begin:] = bytes(len(content) - begin)


def _truncate(content: bytearray, chance: random.Random, _places: Places) -> None:
    del content[chance.choice((chance.randrange(len(content)), 8192, 100)) :]


def _swap(content: bytearray, chance: random.Random, _places: Places) -> None:
    first, second = (chance.randrange(0, len(content), PAGE) for _ in range(2))
    pages = bytes(content[first : first + PAGE]), bytes(content[second : second + PAGE])
    if len(pages[0]) == len(pages[1]):
        content[first : first + PAGE], content[second : second + PAGE] = pages[1], pages[0]


def _foreign(content: bytearray, chance: random.Random, places: Places) -> None:
    at = chance.randrange(0, len(content), PAGE)
    end = min(at + PAGE * chance.choice((1, 4)), len(content))
    header = bytes(content[at : at + 24])
    content[at:end] = places.other[at:end]
    if chance.random() < 0.5:
        content[at : at + len(header)] = header


def _append(content: bytearray, chance: random.Random, places: Places) -> None:
    garbage = chance.choice(
        (bytes(PAGE), chance.randbytes(3 * PAGE + 5), places.other[:PAGE], b"x")
    )
    content += garbage


def _copy_records(content: bytearray, chance: random.Random, places: Places) -> None:
    source, target = (places.record(chance, len(content)) for _ in range(2))
    part = content[source : source + chance.choice((24, 64, 400))]
    content[target + 24 : target + 24 + len(part)] = part


MUTATIONS: tuple[Mutation, ...] = (
    _flip,
    _flip_in_header,
    _flip_in_page_header,
    _flags,
    _rest,
    _length,
    _zero,
    _zero_tail,
    _truncate,
    _swap,
    _foreign,
    _append,
    _copy_records,
)


def mutate(content: bytes, seed: int, places: Places) -> bytes:
    """One to three things that happen to a segment."""
    chance, changed = random.Random(seed), bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 3))):
        if len(changed) > PAGE:
            chance.choice(MUTATIONS)(changed, chance, places)
    return bytes(changed)


def places_of(wal: RealWal, name: str) -> Places:
    """Where records are in a segment."""
    other = wal.content(random.Random(name).choice(wal.names))
    return Places([record.lsn - wal.start(name) for record in _records(wal, name)], other)


_RECORDS: dict[str, list[NaiveRecord]] = {}


def _records(wal: RealWal, name: str) -> list[NaiveRecord]:
    if name not in _RECORDS:
        walk = walk_segment(wal.content(name), wal.start(name), 1, check_crc=False)
        _RECORDS[name] = walk.records
    return _RECORDS[name]


# ---- real segments


def test_real_segments(real_wal: RealWal) -> None:
    for name in real_wal.names:
        compare(real_wal.content(name), real_wal.start(name), check_crc=False)


def test_crcs_of_a_real_segment(real_wal: RealWal) -> None:
    name = real_wal.names[4]
    naive = compare(real_wal.content(name), real_wal.start(name))
    assert naive.why == "goes_on"
    assert naive.records


@settings(fixture_is_constant, max_examples=60)
@given(seed=st.integers(0, 2**63))
def test_changed_segments(real_wal: RealWal, seed: int) -> None:
    _changed(real_wal, seed, pages=None)


@settings(fixture_is_constant, max_examples=120)
@given(seed=st.integers(0, 2**63))
def test_changed_beginnings_of_segments(real_wal: RealWal, seed: int) -> None:
    _changed(real_wal, seed, pages=20)


@pytest.mark.slow
@settings(fixture_is_constant, max_examples=3000)
@given(seed=st.integers(0, 2**63))
def test_very_many_changed_segments(real_wal: RealWal, seed: int) -> None:
    _changed(real_wal, seed, pages=random.Random(seed).choice((None, 3, 20, 40)))


def _changed(wal: RealWal, seed: int, pages: int | None) -> None:
    chance = random.Random(seed)
    name = chance.choice(wal.names)
    content = wal.content(name)[: pages and pages * PAGE]
    changed = mutate(content, seed, places_of(wal, name))
    start, timeline = int(wal.start(name)), 1
    if chance.random() < 0.1:
        start, timeline = chance.choice(((start + SEGMENT, 1), (0, 1), (start, 0), (start, 2)))
    compare(changed, start, timeline, check_crc=False)
    if pages:
        compare(changed, start, timeline, check_crc=True)
    summarize_too(changed, start, timeline)


@settings(fixture_is_constant, max_examples=25)
@given(seed=st.integers(0, 2**63))
def test_stretches_of_changed_segments(real_wal: RealWal, seed: int) -> None:
    """A seam never makes it fail, and what is before the change is all there."""
    chance = random.Random(seed)
    names = real_wal.names
    first = chance.randrange(len(names) - 3)
    refs, changed = [], chance.randrange(first, first + 4)
    for number in range(first, first + 4):
        content = real_wal.content(names[number])
        if number == changed:
            content = mutate(content, seed, places_of(real_wal, names[number]))
        refs.append(real_wal.ref(names[number], content))
    index = WalIndex(IndexStore(None), workers=0)
    summary = index.summary(refs[0])
    for checked in (False, True):
        stretch = read_stretch(index, refs, summary.first, checked=checked)
        if stretch is None:
            assert changed == first
            continue
        found = positions_of(stretch)
        assert found == sorted(found)
        if changed > first:
            whole = summarize(refs[0].source, refs[0].start, 1)
            assert len(found) >= whole.records


def test_a_first_record_of_zeros(real_wal: RealWal) -> None:
    """Records that follow it do not lead back to it."""
    name = real_wal.names[2]
    content, start = bytearray(real_wal.content(name)), real_wal.start(name)
    at = walk_segment(bytes(content), start, 1, check_crc=False).records[0].lsn - start
    for length in range(24):
        struct.pack_into("<I", content, at, length)
        assert compare(bytes(content), start, check_crc=False).why == "length"
    content[at : at + 24] = bytes(24)
    assert compare(bytes(content), start, check_crc=False).blank


# ---- WAL made by hand


def _fake(position: int, prev: int, total: int) -> bytes:
    """The header of a record that is none."""
    return struct.pack("<IIQBBxxI", total, 3, prev, 0, 10, position & 0xFFFFFFFF)


@settings(deadline=None, max_examples=60)
@given(
    lengths=st.lists(
        st.one_of(
            st.integers(0, 200),
            st.sampled_from((0, 8120, 8144, 8168, 16312, 16336, 30000)),
            st.integers(0, 30000),
        ),
        min_size=1,
        max_size=40,
    ),
    seed=st.integers(0, 2**63),
)
def test_records_that_only_look_like_some(lengths: list[int], seed: int) -> None:
    """Row data with copies of WAL in it: back-links and lengths that fit, inside of records."""
    chance, writer = random.Random(seed), WalWriter()
    for length in lengths:
        data = bytearray(length)
        around = [*writer.positions[-3:], writer.at, writer.last]
        for at in range(0, length - 24, chance.choice((8, 24, 40, 400))):
            fake = _fake(at, chance.choice(around), chance.choice((24, 32, 48, 8192, length - at)))
            data[at : at + 24] = fake
        writer.record(bytes(data))
        if chance.random() < 0.05:
            writer.fill(chance.choice((0, 8, 16, 24, 32)))
    for number, content in enumerate(writer.segments()):
        compare(content, writer.start + number * SEGMENT, check_crc=number == 0)
    refs = _refs(writer)
    assert positions_of(stretch_of(refs, checked=True)) == writer.positions


@settings(deadline=None, max_examples=60)
@given(
    parts=st.lists(
        st.tuples(
            st.sampled_from(("record", "record", "give up", "fill")),
            st.one_of(st.integers(0, 40_000), st.integers(0, 3_000_000)),
            st.integers(0, 300),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_records_given_up(parts: list[tuple[str, int, int]]) -> None:
    """A server that crashed in the middle of records, here, there, and over whole segments."""
    writer = WalWriter()
    for what, length, pages in parts:
        if what == "record":
            writer.record(bytes(length))
        elif what == "fill":
            writer.fill(pages // 100 * 8)
        else:
            room = (length + 24) // (PAGE - 24)
            if room >= 1:
                writer.give_up(bytes(length), min(pages, room - 1))
        writer.record(b"after it")
    writer.record(b"the end")
    for number, content in enumerate(writer.segments()):
        compare(content, writer.start + number * SEGMENT, check_crc=False)
    assert positions_of(stretch_of(_refs(writer), checked=True)) == writer.positions


def test_a_switch_as_the_last_record_of_a_segment() -> None:
    writer = WalWriter()
    while SEGMENT - len(writer.content) > PAGE:
        writer.fill(0)
    writer.fill(24)
    writer.switch()
    writer.record(b"in the next segment")
    for number, content in enumerate(writer.segments()):
        compare(content, writer.start + number * SEGMENT)
    assert positions_of(stretch_of(_refs(writer), checked=True)) == writer.positions


@pytest.mark.parametrize("left", [8, 16])
def test_nothing_written_in_the_last_bytes_of_a_segment(left: int) -> None:
    """Too few bytes for a header are no beginning of a record if they are zeros."""
    writer = WalWriter()
    while SEGMENT - len(writer.content) > PAGE:
        writer.fill(0)
    writer.fill(left)
    (content,) = writer.segments()
    assert compare(content, writer.start).blank


def test_a_record_from_before_that_ends_with_a_page() -> None:
    """With the first page of the next segment, with a later one, and with the segment."""
    for length in (8152, 8152 + 8168, 128 * 8168 - 16):
        writer = WalWriter()
        while SEGMENT - len(writer.content) > PAGE:
            writer.fill(0)
        writer.fill(48)
        writer.record(bytes(24 + length))
        writer.record(b"after it")
        for number, content in enumerate(writer.segments()):
            compare(content, writer.start + number * SEGMENT)
        assert positions_of(stretch_of(_refs(writer), checked=True)) == writer.positions


def test_heads_too_large_to_keep() -> None:
    """A record that began before goes on for longer than what is read at once."""
    writer = WalWriter()
    writer.record(bytes(20_000))
    writer.record(bytes(5 * SEGMENT // 2))
    writer.record(b"after it")
    for number, content in enumerate(writer.segments()):
        compare(content, writer.start + number * SEGMENT)
    # One in which a page of it is missing is not passed over.
    contents = writer.segments()
    broken = bytearray(contents[1])
    broken[20 * PAGE : 21 * PAGE] = bytes(PAGE)
    compare(bytes(broken), writer.start + SEGMENT)
    refs = _refs(writer)
    refs[1] = SegmentRef(refs[1].name, 1, refs[1].start, SegmentBytes(bytes(broken)))
    stretch = stretch_of(refs)
    assert (stretch.why, len(positions_of(stretch))) == ("damage", 1)


def _refs(writer: WalWriter) -> list[SegmentRef]:
    return [
        SegmentRef(f"{number:024X}", 1, Lsn(writer.start + number * SEGMENT), SegmentBytes(content))
        for number, content in enumerate(writer.segments())
    ]


# ---- what is inside of records


@settings(deadline=None, max_examples=400)
@given(content=st.binary(max_size=300), major=st.integers(12, 18), seed=st.integers(0, 2**32))
def test_no_record_is_too_strange(content: bytes, major: int, seed: int) -> None:
    _take_apart(content, major, seed)


@settings(fixture_is_constant, max_examples=150)
@given(seed=st.integers(0, 2**63))
def test_changed_records(real_wal: RealWal, seed: int) -> None:
    chance = random.Random(seed)
    name = real_wal.names[chance.randrange(len(real_wal.names))]
    records = _records(real_wal, name)
    if not records:
        return
    changed = bytearray(chance.choice(records).content[:2000])
    for _ in range(chance.choice((1, 2, 8))):
        changed[chance.randrange(20, len(changed))] = chance.choice((0, 1, 8, 252, 253, 254, 255))
    del changed[chance.choice((len(changed), chance.randrange(24, len(changed) + 1))) :]
    struct.pack_into("<I", changed, 0, len(changed))
    _take_apart(bytes(changed), chance.randrange(12, 19), seed)


def _take_apart(content: bytes, major: int, seed: int) -> None:
    chance = random.Random(seed)
    record = parse_record(content, Lsn(123), major)
    blocks = record.blocks if record else ()
    for _ in range(8):
        made = Record(
            position=Lsn(123),
            prev=Lsn(1),
            xid=5,
            rmid=chance.choice((0, 1, 2, 4, 5, 7, 8, 10)),
            info=chance.randrange(16) << 4,
            blocks=blocks,
            data=content[chance.randrange(40) :],
            top_xid=None,
        )
        events_of(made, Lsn(456), major)
        for info in range(0, 256, 16):
            parse_transaction_end(made, info, major)
    # As part of a batch, with nothing behind it.
    length = max(len(content), 24) // 8 * 8
    whole = bytearray((content + bytes(24))[:length])
    struct.pack_into("<I", whole, 0, length)
    whole[17] = chance.choice((0, 1, 2, 4, 5, 7, 8, 9, 10))
    batch = single(bytes(whole), Lsn(123))
    tight = type(batch)(batch.data[:length], batch.starts, batch.positions, batch.lengths)
    RowCounter(major).take(tight)
    writer = WalWriter()
    writer.record(content[24:], rmid=whole[17], info=chance.randrange(256))
    summarize_too(writer.segments()[0][:PAGE], writer.start)


def test_a_deletion_at_the_very_end_of_the_data() -> None:
    """Its headers promise more than there is, and there is nothing behind it."""
    record = bytearray(56)
    struct.pack_into("<IIQBB", record, 0, 54, 3, 0, 0x10, 10)
    record[25] = 0x10  # an image with a hole, compressed
    record[32] = 0x0D
    record[51] = 253
    record[54] = 252
    batch = single(bytes(record), Lsn(123))
    tight = type(batch)(batch.data[:56], batch.starts, batch.positions, batch.lengths)
    for major in (12, 18):
        RowCounter(major).take(tight)
