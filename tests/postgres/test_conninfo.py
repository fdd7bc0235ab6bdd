"""Connection strings: what in them is secret, and host names in the place of another account."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pgrescue.config.load import load_config
from pgrescue.errors import PgRescueError
from pgrescue.postgres.conninfo import secrets_in
from tests.support.command import ROOT

ONCE_ASSUMED = """
import sys
from pgrescue.postgres.account import current_account
from pgrescue.postgres.probe import connect
import psycopg
sys.path.clear(); sys.path_importer_cache.clear(); sys.meta_path.clear()
try:
    connect({"host": "localhost", "port": "1", "user": "nobody"}, current_account())
except psycopg.OperationalError:
    print("asked")
"""


@pytest.mark.parametrize(
    ("name", "secret"),
    [("password", True), ("sslpassword", True), ("host", False), ("passfile", False)],
)
def test_what_libpq_hides_is_secret(name: str, secret: bool) -> None:
    assert secrets_in({"user": "x", name: "y"}) == ((name,) if secret else ())


def test_a_host_name_is_looked_up_without_reading_our_python() -> None:
    """The server's account, which is assumed meanwhile, may not be allowed to."""
    argv = [sys.executable, "-c", ONCE_ASSUMED]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == "asked\n", done.stderr


@pytest.mark.parametrize("value", ["host=db1 password=TOPSECRET", "host=db1 TOPSECRET"])
@pytest.mark.parametrize("key", ["conninfo", "backup.source"])
def test_no_secret_of_the_configuration_is_taken_or_shown(
    key: str, value: str, tmp_path: Path
) -> None:
    file = tmp_path / "pgrescue.toml"
    file.write_text(f'[clusters.main]\ndata_directory = "/srv/main"\n{key} = "{value}"\n')
    with pytest.raises(PgRescueError) as raised:
        load_config(file)
    assert "TOPSECRET" not in str(raised.value)
    assert key.rpartition(".")[2] in str(raised.value)
