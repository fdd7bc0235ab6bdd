"""Output of tools that are not PostgreSQL's: what is not known is said to be unknown."""

from __future__ import annotations

import pytest

from pgrescue.explain.host import NoHost
from pgrescue.explain.translate import explain

BARMAN = (
    "ERROR: The requested target time 2020-01-01 00:00:00+00:00 is before the backup end time "
    "2026-11-22 21:20:36+00:00"
)


def codes(*lines: str) -> list[str]:
    return [found.code for found in explain(lines, NoHost())]


@pytest.mark.parametrize(
    "line",
    [
        "rsync error: some files could not be transferred (code 23) at main.c(1338)",
        "psql: error: could not translate host name",
        "Error: /usr/lib/postgresql/15/bin/pg_ctl pg_ctl start exited with status 1",
        "ERROR: [031]: option 'stanza' cannot be set multiple times",
        "2026-11-22 21:19:08.142 P00  ERROR: [055]: unable to load info file",
        "botocore.exceptions.ClientError: An error occurred (403)",
    ],
)
def test_a_failure_that_nobody_knows(line: str) -> None:
    assert codes("starting", line, "done") == ["unknown"]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (BARMAN, "target_before_backup_ends"),
        ("EOFError: Compressed file ended before the end-of-stream marker", "tar_damaged"),
        ("tarfile.ReadError: unexpected end of data", "tar_damaged"),
        ("Error 68 : Unfinished stream", "tar_damaged"),
        ("tar: Error is not recoverable: exiting now", "tar_damaged"),
        ("P02   INFO: invalid checksum '20261122-211829F/base/5/2838.gz'", "backup_damaged"),
        (
            'psql: error: connection to server on socket "/x" failed: Connection refused',
            "no_server",
        ),
    ],
)
def test_one_that_is_known(line: str, code: str) -> None:
    assert codes(line) == [code]


@pytest.mark.parametrize(
    "line",
    [
        "all is fine, 0 errors",
        "no error here",
        "--- exit on error",
        "P00   INFO: archive-get command end: completed successfully (3ms)",
        "server started",
    ],
)
def test_no_failure(line: str) -> None:
    assert codes(line) == []


def test_what_a_restore_command_says_is_part_of_its_recovery() -> None:
    """The server's own messages tell what came of it."""
    assert (
        codes(
            "2026-11-24 10:00:00 UTC [7] LOG:  starting archive recovery",
            "error: no such key",
            "2026-11-24 10:00:01 UTC [6] LOG:  database system is ready to accept connections",
        )
        == []
    )
