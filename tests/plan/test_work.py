"""What recovery's script is told of the archive that the plan has seen."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pgrescue.plan.work import fetch_wal_text, tail_directory, wal_directories
from tests.run.made_plan import make_plan


@pytest.mark.parametrize(
    ("changes", "asks"),
    [
        ({}, True),
        ({"archive_has_wal": False}, False),
        ({"restore_command": "fetch %f %p"}, False),
        ({"signal_file": "standby.signal"}, False),
    ],
    ids=["archive", "an empty one", "beside a command", "for a standby"],
)
def test_an_archive_that_had_wal_must_not_be_empty(changes: dict[str, object], asks: bool) -> None:
    """A command may empty its directory; a standby outlives what an archive keeps."""
    work = replace(make_plan("/srv/main").work, wal_archive="/srv/wal", archive_has_wal=True)
    text = fetch_wal_text(replace(work, **changes))  # type: ignore[arg-type]
    assert ("is it mounted?" in text) is asks


def test_what_was_rescued_comes_first_unless_it_may_be_overtaken() -> None:
    """The original of a clone may go on with a segment of which only a half was rescued."""
    work = replace(
        make_plan("/srv/main").work, old_wal="/srv/main/pg_wal", wal_archive="/srv/archive"
    )
    tail, own = tail_directory(work), f"{work.staging}/backup"
    assert wal_directories(work) == (tail, "/srv/archive", own)
    standby = replace(work, signal_file="standby.signal")
    assert wal_directories(standby) == (tail, "/srv/archive", own), "in place nobody goes on"
    clone = replace(standby, stop_service=False)
    assert wal_directories(clone) == ("/srv/archive", tail, own)
