"""Writing the configuration."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from pgrescue.config.load import load_config, parse_config
from pgrescue.config.write import render_config, write_config
from pgrescue.errors import UsageError

EXAMPLE = Path(__file__).parents[2] / "config.example.toml"


def test_what_is_written_is_read_back_the_same() -> None:
    config = load_config(EXAMPLE)
    assert parse_config(render_config(config), EXAMPLE) == config


def test_defaults_are_left_out() -> None:
    text = '[clusters.a]\ndata_directory = "/a"\nsudo = false\n'
    rendered = render_config(parse_config(text, None))
    assert "sudo" not in rendered
    assert "timeout" not in rendered
    assert 'kind = "pg_ctl"' in rendered


def test_a_new_file_is_private_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "new" / "pgrescue.toml"
    write_config(path, "text\n")
    assert path.read_text() == "text\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_an_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "pgrescue.toml"
    path.write_text("mine")
    with pytest.raises(UsageError, match="already there"):
        write_config(path, "text")
    assert path.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [path]


def test_a_directory_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be written"):
        write_config(tmp_path / "file" / "pgrescue.toml", "text")
