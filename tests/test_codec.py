"""Names that are not UTF-8 go through plans, journals and caches byte for byte."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from pgrescue.codec import dumps, fingerprint, from_plain, loads
from pgrescue.postgres.lsn import Lsn
from pgrescue.run.journal import Journal, read_journal
from pgrescue.run.records import Moving, Progress

ODD = os.fsdecode(b"/srv/r\xe9sum\xe9-\xff\x1b")


@dataclass(frozen=True, slots=True)
class Thing:
    """Something with a name, a time and a position."""

    path: str
    at: datetime
    lsn: Lsn


@pytest.mark.parametrize("path", [ODD, "/srv/größe", r"/srv/\udcff", "/srv/\n\x00"])
@pytest.mark.parametrize("indent", [0, 2])
def test_round_trip(path: str, indent: int) -> None:
    thing = Thing(path, datetime(2026, 11, 22, 12, tzinfo=UTC), Lsn(0x3000028))
    text = dumps(thing, indent=indent)
    assert text.encode().decode() == text, "it can be written to any file"
    assert (indent == 0) == ("\n" not in text)
    assert from_plain(loads(text), Thing) == thing
    assert from_plain(loads(text.encode()), Thing) == thing
    assert fingerprint(from_plain(loads(text), Thing)) == fingerprint(thing)


def test_other_names_have_other_fingerprints() -> None:
    assert fingerprint({"a": ODD}) != fingerprint({"a": ODD[:-1]})


@pytest.mark.parametrize("text", ['{"a": "\\udcff"', "nothing", '"\\udcff" x'])
def test_what_is_no_json(text: str) -> None:
    with pytest.raises(msgspec.DecodeError):
        loads(text)


def test_journal(tmp_path: Path) -> None:
    """A file of such a name while it is extracted, and a directory that is set aside."""
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append(Moving(path=ODD, aside=f"{ODD}.aside", contents_only=False))
    journal.append(
        Progress(
            step="extract",
            done_bytes=1,
            total_bytes=None,
            rate=None,
            eta_seconds=None,
            detail=ODD,
            lsn=Lsn(1),
            time=None,
        )
    )
    journal.close()
    moving, progress = read_journal(tmp_path / "journal.jsonl")
    assert isinstance(moving, Moving)
    assert moving.path == ODD
    assert isinstance(progress, Progress)
    assert (progress.detail, progress.lsn) == (ODD, Lsn(1))
