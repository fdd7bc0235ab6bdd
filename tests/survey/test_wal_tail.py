"""Which of two copies of a segment counts: one that goes on from the other, never one beside it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from pgrescue.demo.binaries import ServerBinaries
from pgrescue.survey.wal_tail import look_at_tail
from tests.support.cluster import Workspace
from tests.support.places import Place, free_port
from tests.support.source import Source


def newest(data: Path) -> str:
    """The segment that was written last."""
    return max((data / "pg_wal").glob("0*[0-9A-F]"), key=lambda path: path.stat().st_mtime).name


def kept(data: Path, place: Path) -> Path:
    """What `pg_wal` has, copied to another place."""
    place.mkdir()
    for path in (data / "pg_wal").glob("0*[0-9A-F]"):
        shutil.copy(path, place)
    return place


@pytest.mark.server
def test_of_two_histories_the_longer_one_does_not_replace_the_other(
    workspace: Workspace, any_binaries: ServerBinaries
) -> None:
    """Where no archive knows of a timeline its number can be given again."""
    source = Source.make(workspace, any_binaries, settings={"archive_mode": "off"})
    source.sandbox.stop()
    data, other = source.sandbox.data, source.sandbox.directory / "other"
    subprocess.run(["cp", "-a", data, other], check=True)
    source.sandbox.start()
    source.log.mark("here")
    early = kept(data, source.sandbox.directory / "early")
    source.log.mark("here, later")
    source.sandbox.crash()
    elsewhere = Place(other, source.sandbox)
    elsewhere.start(f"port={free_port()}")
    elsewhere.sql("insert into epochs select 50 + n from generate_series(1, 200) n")
    elsewhere.sql("checkpoint")
    longer = kept(other, source.sandbox.directory / "longer")
    name, own = newest(data), data / "pg_wal"
    assert (longer / name).exists()
    assert look_at_tail([own, longer], None, None).files[name] == own / name
    assert look_at_tail([early, own], None, None).files[name] == own / name
    assert look_at_tail([own, early], None, None).files[name] == own / name
