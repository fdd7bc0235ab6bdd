"""Recovery targets from the command line."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pgrescue.errors import UsageError
from pgrescue.plan.target import TargetOptions, format_for_server, parse_target
from pgrescue.postgres.lsn import Lsn


def test_without_a_target_it_is_latest_and_promotes() -> None:
    target = parse_target(TargetOptions())
    assert (target.kind, target.action) == ("latest", "promote")


def test_a_stop_target_pauses_unless_told_otherwise() -> None:
    assert parse_target(TargetOptions(to_xid="63886")).action == "pause"
    assert parse_target(TargetOptions(to_xid="63886", action="shutdown")).action == "shutdown"


def test_before_a_transaction_is_exclusive() -> None:
    before = parse_target(TargetOptions(before_xid="63886"))
    assert (before.kind, before.xid, before.inclusive) == ("xid", 63886, False)
    assert parse_target(TargetOptions(to_xid="63886")).inclusive


def test_lsn_and_name() -> None:
    assert parse_target(TargetOptions(to_lsn="0/3000028", exclusive=True)).lsn == Lsn(0x3000028)
    assert parse_target(TargetOptions(to_name="before_migration")).name == "before_migration"


def test_two_targets_are_refused() -> None:
    with pytest.raises(UsageError, match="More than one"):
        parse_target(TargetOptions(to="latest", to_xid="700"))


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (TargetOptions(to_xid="0/3000028"), "--to-lsn"),
        (TargetOptions(to_xid="abc"), "whole number"),
        (TargetOptions(to_xid="2"), "0 to 2"),
        (TargetOptions(to_lsn="3000028"), "two hexadecimal numbers"),
        (TargetOptions(to_name="x" * 64), "63 bytes"),
        (TargetOptions(to_name="a\nb"), "control characters"),
        (TargetOptions(timeline="0A"), "decimal"),
        (TargetOptions(action="stop"), "promote"),
    ],
)
def test_wrong_targets_say_what_would_be_right(options: TargetOptions, part: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_target(options)
    assert part in str(caught.value)


def test_the_server_never_gets_a_z() -> None:
    moment = datetime(2026, 11, 22, 12, 0, 0, 5, tzinfo=UTC)
    assert format_for_server(moment) == "2026-11-22 12:00:00.000005+00"
