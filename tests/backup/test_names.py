"""Names and labels of backups: what is filled in, and what would lead astray."""

from __future__ import annotations

import pytest

from pgrescue.backup.build import checked_label, name_of
from pgrescue.config.backup_request import BackupRequest
from pgrescue.errors import UsageError
from tests.support.backup_facts import facts

HOST = facts().host


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("{cluster}-{time}", "main-20261122T203512Z"),
        ("{host}_{cluster}_{kind}", "db1_main_full"),
        ("nightly", "nightly"),
        ("{time}.{cluster}", "20261122T203512Z.main"),
        ("montägliche Sicherung", "montägliche Sicherung"),
        ("a{}b", None),
        ("-rf", "-rf"),
        ("$(reboot)", "$(reboot)"),
    ],
)
def test_patterns(pattern: str, name: str | None) -> None:
    if name is None:
        with pytest.raises(UsageError):
            name_of(pattern, HOST, BackupRequest(), "main")
    else:
        assert name_of(pattern, HOST, BackupRequest(), "main") == name


def test_kind_of_an_incremental_one() -> None:
    assert name_of("{kind}", HOST, BackupRequest(parent="newest"), "main") == "incremental"


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        ".",
        "..",
        ".hidden",
        "../elsewhere",
        "/etc/passwd",
        "a/b",
        "{time}/{cluster}",
        "{tme}",
        "{0}",
        "nul\0",
        "two\nlines",
        "\x1b[2J",
        "\u202ereversed",
        "not utf-8 \udcff",
        "lost+found",
        "x" * 241,
        "ä" * 121,
    ],
)
def test_what_is_no_name(pattern: str) -> None:
    """A path, what no tool finds again, what a terminal would obey, what no file system takes."""
    with pytest.raises(UsageError, match="no name for a backup") as caught:
        name_of(pattern, HOST, BackupRequest(), "main")
    assert "\x1b" not in str(caught.value)
    assert caught.value.next_steps


def test_clusters_name_leads_nowhere_else() -> None:
    with pytest.raises(UsageError):
        name_of("{cluster}", HOST, BackupRequest(), "../../etc")


@pytest.mark.parametrize("label", ["before the upgrade", "ümlaut", "-- '; drop table"])
def test_labels(label: str) -> None:
    assert checked_label(label) == label


@pytest.mark.parametrize("label", ["two\nlines", "x\rSTART TIMELINE: 9", "x" * 1024, "\udcff"])
def test_what_is_no_label(label: str) -> None:
    """It is a line of backup_label: a second line would be taken for a fact."""
    with pytest.raises(UsageError, match="no label"):
        checked_label(label)
