"""Which programs of an earlier runner only ask others, and are not to be ended."""

from __future__ import annotations

import pytest

from pgrescue.postgres.secrets import without_passwords
from pgrescue.run.leftover_tools import only_asks


@pytest.mark.parametrize(
    ("argv", "asks"),
    [
        (("/usr/lib/postgresql/15/bin/pg_ctl", "stop", "-D", "/srv/main"), True),
        (("systemctl", "stop", "postgresql@15-main"), True),
        (("/bin/sh", "-c", "PGPASSWORD=x sudo systemctl stop pg"), True),
        (("/bin/sh", "-c", 'PGPASSWORD="x" /opt/copy.sh'), False),
        (("/usr/bin/pg_combinebackup", "/srv/pg_ctl", "-o", "/srv/new"), False),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_by_the_program_or_by_what_a_shell_is_to_do(argv: tuple[str, ...], asks: bool) -> None:
    assert only_asks(argv) is asks


def test_an_option_that_asks_for_no_password_is_not_followed_by_one() -> None:
    command = "pg_basebackup --no-password --format tar"
    assert without_passwords(command) == command
    assert without_passwords("x --password hunter2 --format tar") == "x --password *** --format tar"
