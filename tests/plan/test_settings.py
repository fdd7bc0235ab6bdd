"""What is written into a restored cluster's configuration."""

from __future__ import annotations

import pytest

from pgrescue.plan.settings import (
    RECOVERY_BLOCK,
    auto_conf_after,
    clone_settings,
    leftovers,
    raised_limits,
    recovery_settings,
)
from pgrescue.plan.target import Target, TargetOptions, parse_target
from pgrescue.postgres.conf_file import parse_assignments, quote, without_block, without_settings
from pgrescue.postgres.control_file import StandbyLimits

KINDS = {
    "time": TargetOptions(to="2026-11-22 12:00:00Z"),
    "xid": TargetOptions(to_xid="700"),
    "lsn": TargetOptions(to_lsn="0/3000028"),
    "name": TargetOptions(to_name="it's here"),
    "immediate": TargetOptions(to="immediate"),
    "latest": TargetOptions(),
}


def _settings(target: Target, major: int = 15, *, standby: bool = False) -> dict[str, str]:
    return recovery_settings(target, 3, "fetch %f %p", major, {}, standby=standby)


def test_a_clone_streams_from_nobody_though_it_is_a_standby() -> None:
    """A backup of a standby names its source, and a slot that a clone would take from it."""
    copied = {"primary_conninfo": "host=primary", "primary_slot_name": "first"}
    text = "".join(f"{name} = {quote(value)}\n" for name, value in copied.items())
    target = parse_target(KINDS["latest"])
    lasting = clone_settings("/srv/clone", 5440, "/srv/clone", "main")
    after = auto_conf_after(text, _settings(target, standby=True), lasting, target)
    last = dict(parse_assignments(after))
    assert {name: last[name] for name in copied} == dict.fromkeys(copied, "")


@pytest.mark.parametrize("kind", KINDS)
def test_one_target_and_it_comes_last(kind: str) -> None:
    """The server takes an empty target after the chosen one for a second target."""
    settings = _settings(parse_target(KINDS[kind]))
    targets = [
        name
        for name in settings
        if name.startswith("recovery_target")
        and not name.endswith(("inclusive", "action", "timeline"))
    ]
    chosen = [name for name in targets if settings[name]]
    assert len(chosen) == (0 if kind == "latest" else 1)
    assert targets[len(targets) - len(chosen) :] == chosen


def test_the_timeline_is_a_decimal_number() -> None:
    assert _settings(parse_target(TargetOptions()))["recovery_target_timeline"] == "3"


@pytest.mark.parametrize("major", range(12, 19))
def test_only_settings_that_the_version_knows(major: int) -> None:
    known = "promote_trigger_file" in _settings(parse_target(TargetOptions()), major)
    assert known == (major <= 15)


def test_leftovers_of_the_backup_are_overridden() -> None:
    target = parse_target(KINDS["xid"])
    before = "recovery_target_name = 'fork_here'\nprimary_conninfo = 'host=prod'\nport = 5433\n"
    after = parse_assignments(auto_conf_after(before, _settings(target), {}, target))
    assert after["recovery_target_name"] == ""
    assert after["primary_conninfo"] == ""
    assert after["recovery_target_xid"] == "700"
    assert after["port"] == "5433"
    assert leftovers({"postgresql.auto.conf": before}) == {
        "recovery_target_name": "fork_here",
        "primary_conninfo": "host=prod",
    }


def test_the_block_is_replaced_and_removed_without_a_trace() -> None:
    target = parse_target(KINDS["name"])
    before = "port = 5433\n"
    once = auto_conf_after(before, _settings(target), {}, target)
    assert auto_conf_after(once, _settings(target), {}, target) == once
    assert without_block(once, RECOVERY_BLOCK) == before


def test_settings_are_found_after_alter_system_dropped_the_markers() -> None:
    settings = _settings(parse_target(KINDS["name"]))
    rewritten = "port = '5433'\n" + "".join(f"{k} = {quote(v)}\n" for k, v in settings.items())
    assert without_settings(rewritten, settings) == "port = '5433'\n"


def test_only_limits_that_are_too_low_are_raised() -> None:
    needed = StandbyLimits(120, 8, 10, 0, 64)
    assert raised_limits(needed, {}) == {"max_connections": "120"}
    assert raised_limits(needed, {"max_connections": "200"}) == {}
    assert raised_limits(needed, {"max_connections": "110"}) == {"max_connections": "120"}


def test_a_value_with_quotes_and_backslashes_survives() -> None:
    value = "/tmp/it's \\ here"
    assert parse_assignments(f"restore_command = {quote(value)} # why")["restore_command"] == value


def test_a_value_with_a_line_break_is_refused() -> None:
    with pytest.raises(ValueError, match="line break"):
        quote("a\nb")
