"""What is taken for a directory of WAL where `pg_wal` leads, and what is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgrescue.survey.cluster import stranger_in_wal

SEGMENT = "000000010000000000000001"


@pytest.mark.parametrize(
    ("directories", "files", "stranger"),
    [
        ((), (), None),
        (("lost+found",), (), None),
        (("archive_status", "summaries"), (SEGMENT, "00000002.history"), None),
        (("archive_status", ".wal-g"), (SEGMENT,), None),
        ((), (SEGMENT, "README"), None),
        (("lost+found", ".pgrescue"), (f"{SEGMENT}.partial",), None),
        (("ssh",), ("passwd",), "it holds ssh"),
        (("base", "pg_wal"), ("PG_VERSION",), "it holds base"),
        (("photographs",), (SEGMENT,), "it holds photographs"),
        ((), ("passwd", "shadow"), "it holds passwd and no WAL"),
    ],
)
def test_by_what_is_in_it(
    tmp_path: Path, directories: tuple[str, ...], files: tuple[str, ...], stranger: str | None
) -> None:
    for name in directories:
        (tmp_path / name).mkdir()
    for name in files:
        (tmp_path / name).touch()
    assert stranger_in_wal(tmp_path) == stranger


def test_a_link_to_a_directory_shows_it_too(tmp_path: Path) -> None:
    (tmp_path / SEGMENT).touch()
    (tmp_path / "elsewhere").symlink_to("/")
    assert stranger_in_wal(tmp_path) == "it holds elsewhere"
