"""What the fields of a backup mean, without a screen."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest

from pgrescue.backup.choices import choice
from pgrescue.config.backup_request import NEWEST, BackupRequest
from pgrescue.postgres.basebackup_options import Compression
from pgrescue.tui.backup_form import (
    CHOOSABLE,
    LABELS,
    BackupForm,
    WrongField,
    beyond_options,
    command_line,
    field_help,
    form_of,
    read_backup_request,
)
from pgrescue.tui.backup_preview import preview
from tests.tui import backups

CONFIGURED = BackupRequest(
    destination="/srv/b",
    source="host=db2 user=backup",
    name="{host}-{time}",
    format="tar",
    compression=Compression("lz4", 9, "server"),
    wal_method="fetch",
    checkpoint="spread",
    max_rate=50 << 20,
    label="nightly",
    manifest_checksums="SHA256",
    verify=False,
)


def parts(request: BackupRequest, locations: tuple[str, ...] = ()) -> list[str]:
    """The previewed command, word by word."""
    return shlex.split(preview(request, backups.SETTING, "main", backups.CHAINS.backups, locations))


def test_configured_choices_come_back_as_they_were() -> None:
    assert read_backup_request(form_of(CONFIGURED, (), "")) == CONFIGURED
    assert read_backup_request(form_of(BackupRequest(), (), "")) == BackupRequest()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"destination": "backups"}, "destination"),
        ({"compression": "gzip", "level": "10"}, "level"),
        ({"compression": "zstd", "level": "high"}, "level"),
        ({"compression": "zstd", "format": "plain"}, "compression"),
        ({"max_rate": "1"}, "max_rate"),
        ({"max_rate": "fast"}, "max_rate"),
        ({"incremental": "chosen"}, "parent"),
        ({"format": "plain", "mappings": "/srv/ts"}, "mappings"),
        ({"format": "plain", "mappings": "'/srv"}, "mappings"),
        ({"format": "plain", "tablespaces": (("/a", ""), ("/fast", "slow"))}, "ts1"),
    ],
)
def test_wrong_field_is_named(changes: dict[str, str], field: str) -> None:
    with pytest.raises(WrongField) as wrong:
        read_backup_request(replace(BackupForm(), **changes))  # type: ignore[arg-type]
    assert wrong.value.field == field
    assert wrong.value.title


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": "{when}"}, "name"),
        ({"name": "a/b"}, "name"),
        ({"label": "two\nlines"}, "label"),
        ({"parent": "2025"}, "parent"),
    ],
)
def test_what_the_command_cannot_be_made_of_is_named_too(
    changes: dict[str, str], field: str
) -> None:
    with pytest.raises(WrongField) as wrong:
        parts(replace(BackupRequest(), **changes))  # type: ignore[arg-type]
    assert wrong.value.field == field


def test_hidden_fields_count_for_nothing() -> None:
    form = BackupForm(level="99", parent="x", mappings="/a", tablespaces=(("/fast", "slow"),))
    assert read_backup_request(form) == BackupRequest()


def test_incremental_is_no_newest_or_a_chosen_one() -> None:
    assert read_backup_request(BackupForm(incremental="newest")).parent == NEWEST
    assert read_backup_request(BackupForm(incremental="chosen", parent=" 2026 ")).parent == "2026"


@pytest.mark.parametrize("field", LABELS)
def test_every_field_and_every_value_has_its_sentence(field: str) -> None:
    name = "tablespaces" if field == "mappings" else field
    assert choice(name).about.endswith(".")
    for value in CHOOSABLE.get(field, ()):
        text = field_help(field, replace(BackupForm(), **{field: value}))  # type: ignore[arg-type]
        about, _, sentence = text.partition(f" {value}: ")
        assert about == choice(name).about
        assert sentence.endswith(".")
        assert len(text) <= 3 * 76


def test_command_has_what_was_chosen_and_holes_where_only_the_server_knows() -> None:
    words = parts(BackupRequest(compression=Compression("zstd", 3), parent=NEWEST))
    assert words[:4] == ["runuser", "-u", "postgres", "--"]
    assert f"--pgdata={backups.ROOT}/.{backups.NAME}.partial" in words
    assert "--compress=client-zstd:3" in words
    assert "--checkpoint=<fast or spread>" in words
    assert "--incremental=<the newest backup>/backup_manifest" in words


def test_command_with_a_chosen_parent_and_a_checkpoint_has_no_holes() -> None:
    words = parts(BackupRequest(checkpoint="fast", parent=backups.FULL.id[:12]))
    assert f"--incremental={backups.FULL.path}/backup_manifest" in words
    assert not any("<" in word for word in words)


def test_command_of_a_plain_backup_moves_every_tablespace_that_is_known() -> None:
    request = BackupRequest(format="plain", tablespaces={"/fast": "/slow"})
    mapped = [word for word in parts(request, ("/fast", "/ssd")) if "--tablespace-mapping" in word]
    assert mapped[0] == "--tablespace-mapping=/fast=/slow"
    assert mapped[1].startswith(f"--tablespace-mapping=/ssd={backups.ROOT}/{backups.NAME}.table")


def test_command_is_harmless_in_a_shell() -> None:
    request = BackupRequest(label="a; rm -rf / #")
    line = preview(request, backups.SETTING, "main", (), ())
    assert "'--label=a; rm -rf / #'" in line
    assert "'--checkpoint=<fast or spread>'" in line


def test_same_on_the_command_line_names_only_what_differs() -> None:
    same = command_line(CONFIGURED, CONFIGURED, "main")
    assert same == "pgrescue --cluster main backup"
    request = replace(
        CONFIGURED, compression=Compression("zstd", 3), parent=NEWEST, tablespaces={"/a": "/b"}
    )
    assert command_line(request, CONFIGURED, "main") == (
        "pgrescue --cluster main backup --compress zstd:3 --incremental newest --tablespace /a=/b"
    )
    plain = BackupRequest(verify=False)
    assert command_line(plain, BackupRequest(), "main").endswith("--no-verify")


def test_what_no_option_can_take_back_is_told() -> None:
    configured = replace(CONFIGURED, tablespaces={"/a": "/b"})
    request = replace(CONFIGURED, max_rate=None, verify=True)
    assert beyond_options(request, configured) == ("--max-rate", "--no-verify", "--tablespace /a")
    assert beyond_options(CONFIGURED, CONFIGURED) == ()
