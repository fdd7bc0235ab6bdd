"""The journal survives being torn anywhere, and its fold tells what is certain."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgrescue.errors import Refused
from pgrescue.plan.model import Plan
from pgrescue.run import records
from pgrescue.run.fold import fold
from pgrescue.run.journal import Journal, read_closely, read_journal
from pgrescue.run.records import AnyRecord

STORY: tuple[AnyRecord, ...] = (
    records.Created(
        run="r1", plan="p", cluster="main", data_directory="/srv/main", host="h", operator="anna"
    ),
    records.Started(purpose="restore", pid=1, process_start=2, boot_id="b"),
    records.StepBegan(step="set_aside", title="Set aside"),
    records.Moving(path="/srv/main", aside="/srv/main.aside", contents_only=False),
    records.Moved(path="/srv/main", aside="/srv/main.aside"),
    records.StepEnded(step="set_aside", seconds=0.1, result="1 set aside"),
    records.StepBegan(step="extract", title="Extract"),
    records.Progress(
        step="extract", done_bytes=5, total_bytes=10, rate=1.0, eta_seconds=5.0, detail="base/1"
    ),
    records.Finished(
        state="failed", error=records.Failure("no", "because", "", ("undo",), exit_code=4)
    ),
)


def _write(path: Path, story: tuple[AnyRecord, ...] = STORY) -> bytes:
    journal = Journal(path)
    for record in story:
        journal.append(record)
    journal.close()
    return path.read_bytes()


def test_damage_before_the_end_is_told_and_nothing_is_cut_off(tmp_path: Path) -> None:
    """What follows tells where the old data is."""
    path = tmp_path / "j"
    lines = _write(path).splitlines(keepends=True)
    lines[2] = b"\0" * (len(lines[2]) - 1) + b"\n"
    path.write_bytes(b"".join(lines))
    assert read_closely(path).damaged == 3
    with pytest.raises(Refused, match=r"damaged: .* line 3"):
        Journal(path)
    assert path.read_bytes() == b"".join(lines)


def test_records_that_only_a_newer_version_knows_are_not_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "j"
    newer = b'{"event": "sent_to_the_moon", "seq": %d}\n' % (len(STORY) + 1)
    before = _write(path) + newer
    path.write_bytes(before)
    Journal(path).append(STORY[1])
    assert path.read_bytes().startswith(before)
    assert read_journal(path)[-1].seq == len(STORY) + 2


def test_what_was_written_is_read_back_in_order(tmp_path: Path) -> None:
    _write(tmp_path / "j")
    read = read_journal(tmp_path / "j")
    assert [record.seq for record in read] == list(range(1, len(STORY) + 1))
    assert [type(record) for record in read] == [type(record) for record in STORY]


def test_a_journal_torn_at_any_byte_still_tells_what_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "j"
    data = _write(path)
    for cut in range(len(data)):
        path.write_bytes(data[:cut])
        assert len(read_journal(path)) == data[:cut].count(b"\n")


def test_writing_goes_on_after_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "j"
    path.write_bytes(_write(path)[:-7])
    journal = Journal(path)
    journal.append(records.Note(step="x", message="on we go"))
    journal.close()
    last = read_journal(path)[-1]
    assert isinstance(last, records.Note)
    assert last.seq == len(STORY)


def test_a_record_of_a_newer_version_is_skipped_not_taken_for_the_end(tmp_path: Path) -> None:
    path = tmp_path / "j"
    lines = _write(path).splitlines(keepends=True)
    lines[5] = b'{"event": "something_new", "seq": 6, "at": null, "schema": 1}\n'
    path.write_bytes(b"".join(lines))
    assert len(read_journal(path)) == len(STORY) - 1


def test_garbage_in_the_middle_ends_the_journal(tmp_path: Path) -> None:
    path = tmp_path / "j"
    lines = _write(path).splitlines(keepends=True)
    lines[3] = b"\0" * 40 + b"\n"
    path.write_bytes(b"".join(lines))
    assert len(read_journal(path)) == 3


def test_the_fold_knows_what_was_moved_and_what_failed(plan: Plan) -> None:
    state = fold(plan, STORY)
    assert state.state == "failed"
    assert state.set_aside == "/srv/main.aside"
    assert state.done("set_aside")
    assert {step.id: step.state for step in state.steps}["extract"] == "failed"
    assert state.error is not None
    assert state.error.exit_code == 4


def test_a_rename_that_was_only_announced_is_not_taken_for_done(plan: Plan) -> None:
    state = fold(plan, STORY[:4])
    assert [item.done for item in state.asides] == [False]


@pytest.mark.parametrize("length", range(1, len(STORY) + 1))
def test_every_prefix_folds(plan: Plan, length: int) -> None:
    assert fold(plan, STORY[:length]).run == "r1"
