"""A copy of a data directory never leads to the WAL or the tablespaces of what is in its place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pgrescue.plan.model import OldLink
from pgrescue.run.own_links import keep_together, lead_back, links_in
from tests.support.files import file_tree

VERSION = "PG_15_202209061"


class Copy:
    """A data directory with a linked pg_wal and a tablespace, all of it moved away."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.data, self.wal = root / "data.away", root / "wal.away"
        self.location = root / "fast"
        self.version = self.location / f"{VERSION}.away"
        for path in (self.data / "pg_tblspc", self.wal, self.version / "5"):
            path.mkdir(parents=True)
        (self.data / "pg_wal").symlink_to(root / "wal")
        (self.data / "pg_tblspc" / "16400").symlink_to(self.location)
        self.moved = {
            str(root / "data"): str(self.data),
            str(root / "wal"): str(self.wal),
            str(self.location / VERSION): str(self.version),
        }
        self.links = (
            OldLink("pg_wal", str(root / "wal"), str(root / "wal")),
            OldLink("pg_tblspc/16400", str(self.location), str(self.location / VERSION)),
        )

    def leads_to(self, name: str) -> str:
        """Where the server would get to."""
        return os.path.realpath(self.data / name)


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path)


def test_it_leads_to_its_own_and_back_again(copy: Copy) -> None:
    before = file_tree(copy.root)
    for _ in range(2):
        keep_together(copy.data, copy.links, copy.moved)
    assert copy.leads_to("pg_wal") == str(copy.wal)
    assert copy.leads_to(f"pg_tblspc/16400/{VERSION}/5") == str(copy.version / "5")
    for _ in range(2):
        lead_back(copy.data, copy.links, copy.moved)
    assert file_tree(copy.root) == before


def test_without_a_plan_its_own_links_tell(copy: Copy) -> None:
    """What an undo has retired is what was restored, maybe with tablespaces of its own."""
    for _ in range(2):
        keep_together(copy.data, links_in(copy.data, copy.moved), copy.moved)
    assert copy.leads_to("pg_wal") == str(copy.wal)
    assert copy.leads_to(f"pg_tblspc/16400/{VERSION}") == str(copy.version)


def test_a_location_that_moved_as_a_whole(copy: Copy) -> None:
    whole = copy.location.rename(copy.root / "fast.away")
    (whole / copy.version.name).rename(whole / VERSION)
    moved = {str(copy.root / "fast"): str(whole)}
    keep_together(copy.data, links_in(copy.data, moved), moved)
    assert copy.leads_to(f"pg_tblspc/16400/{VERSION}/5") == str(whole / VERSION / "5")


def test_a_try_that_died_leaves_nothing_behind(copy: Copy) -> None:
    before = file_tree(copy.root)
    (copy.data / "pg_tblspc/16400.pgrescue-new").symlink_to(copy.version)
    (copy.version / VERSION).symlink_to(".")
    lead_back(copy.data, copy.links, copy.moved)
    assert file_tree(copy.root) == before


def test_nothing_is_changed_behind_a_planted_link(copy: Copy) -> None:
    elsewhere = copy.root / "elsewhere"
    (copy.data / "pg_tblspc").rename(elsewhere)
    (copy.data / "pg_tblspc").symlink_to(elsewhere)
    keep_together(copy.data, copy.links, copy.moved)
    keep_together(copy.data, links_in(copy.data, copy.moved), copy.moved)
    assert os.readlink(elsewhere / "16400") == str(copy.location)
