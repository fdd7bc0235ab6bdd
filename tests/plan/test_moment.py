"""Times that people type."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pgrescue.errors import UsageError
from pgrescue.plan.moment import describe_moment, parse_moment

NOON = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-22 12:00:00+00:00",
        "2026-11-22 12:00:00+00",
        "2026-11-22T12:00:00Z",
        "2026-11-22 12:00 UTC",
        "2026-11-22 13:00:00+01:00",
        "2026-11-22 13:00:00.000000 Europe/Berlin",
        "2026-11-22 17:30:00+0530",
        "2026-11-22 17:30:00+05:30",
    ],
)
def test_one_moment_in_many_words(text: str) -> None:
    assert parse_moment(text) == NOON


def test_a_time_without_zone_is_the_operators() -> None:
    assert parse_moment("2026-11-22 13:00:00", "Europe/Berlin") == NOON
    assert parse_moment("2026-11-22 07:00:00", "America/New_York") == NOON


def test_microseconds_are_kept() -> None:
    assert parse_moment("2026-11-22 12:00:00.123456Z").microsecond == 123456


def test_a_time_that_happened_twice_is_refused_with_both_readings() -> None:
    with pytest.raises(UsageError) as caught:
        parse_moment("2026-10-25 02:30:00", "Europe/Berlin")
    assert "twice" in caught.value.title
    assert "2026-10-25 00:30:00+00:00" in caught.value.cause
    assert "2026-10-25 01:30:00+00:00" in caught.value.cause


def test_a_time_that_never_happened_is_refused() -> None:
    with pytest.raises(UsageError, match="never happened"):
        parse_moment("2026-03-29 02:30:00 Europe/Berlin")


@pytest.mark.parametrize("zone", ["CST", "IST", "EDT", "Mars/Olympus"])
def test_abbreviations_are_refused(zone: str) -> None:
    with pytest.raises(UsageError, match="no time zone"):
        parse_moment(f"2026-11-22 12:00:00 {zone}")


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01 00:00", "12:00", "", "2026-11-22"])
def test_what_is_no_time_is_refused_with_examples(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_moment(text)
    assert "Examples" in caught.value.cause


def test_a_moment_is_echoed_in_both_zones_with_its_age() -> None:
    now = datetime(2026, 11, 22, 15, 12, 0, tzinfo=UTC)
    said = describe_moment(NOON, now, "Europe/Berlin")
    assert said == "2026-11-22 12:00:00+00:00 = 2026-11-22 13:00:00+01:00 your time, 3:12:00 ago"
