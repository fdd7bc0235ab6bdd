"""Times that people type: with an offset, with a zone's name, or in their own zone.

Local times that a change of the clock made ambiguous or skipped are refused, with the two
readings spelled out, because half of the guesses would restore to the wrong hour.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pgrescue.errors import UsageError

_FORM = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)[T ](?P<time>\d\d:\d\d(?::\d\d(?:[.,]\d{1,6})?)?)"
    r"\s*(?P<zone>Z|[+-]\d\d(?::?\d\d)?(?::?\d\d)?|[A-Za-z][A-Za-z0-9_+/-]*)?"
)
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_EXAMPLES = (
    "Examples: '2026-11-22 14:02:10+01:00', '2026-11-22 13:02:10 UTC', "
    "'2026-11-22 14:02:10 Europe/Berlin', '2026-11-22 14:02:10' (your own zone)."
)
_ABBREVIATION_HINT = (
    "Abbreviations such as CST or IST mean different zones in different places; write the offset "
    "or the zone's full name."
)


def parse_moment(text: str, zone: str | None = None) -> datetime:
    """A moment in UTC; raises `UsageError` for what is no time, ambiguous, or never happened.

    `zone` names the zone of times without one; None means the system's own.
    """
    match = _FORM.fullmatch(text.strip())
    if match is None and _DATE.fullmatch(text.strip()):
        raise UsageError(f"'{text}' has no time of day.", _EXAMPLES)
    if match is None:
        raise UsageError(f"'{text}' is not a time.", _EXAMPLES)
    naive = _naive(text, match["date"], match["time"].replace(",", "."))
    stated = match["zone"]
    if stated is None:
        return _resolve(text, naive, _configured(zone))
    if stated == "Z" or stated[0] in "+-":
        return naive.replace(tzinfo=_fixed(text, stated)).astimezone(UTC)
    return _resolve(text, naive, _zone(stated))


def _naive(text: str, date: str, clock: str) -> datetime:
    try:
        return datetime.fromisoformat(f"{date} {clock}")
    except ValueError as error:
        raise UsageError(f"'{text}' is not a time.", f"{error}. {_EXAMPLES}") from error


def _fixed(text: str, offset: str) -> tzinfo:
    normal = "+00:00" if offset == "Z" else offset
    try:
        parsed = datetime.fromisoformat(f"2000-01-01 00:00:00{normal}").tzinfo
    except ValueError as error:
        raise UsageError(f"'{text}' is not a time.", f"{error}. {_EXAMPLES}") from error
    assert parsed is not None
    return parsed


def _configured(name: str | None) -> tzinfo | None:
    """The zone that a configuration names; None is the system's own."""
    return None if name is None else ZoneInfo(name)


def _zone(name: str) -> tzinfo:
    """The zone that somebody typed behind a time: no abbreviations."""
    if name.upper() in ("UTC", "GMT"):
        return UTC
    try:
        if "/" not in name:
            raise ZoneInfoNotFoundError(name)
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UsageError(f"'{name}' is no time zone.", _ABBREVIATION_HINT) from error


def _resolve(text: str, naive: datetime, zone: tzinfo | None) -> datetime:
    """Both readings of a local time; they differ only around a change of the clock."""
    early = _in_utc(naive.replace(fold=0), zone)
    late = _in_utc(naive.replace(fold=1), zone)
    if early == late:
        return early
    if _local(early, zone) == naive and _local(late, zone) == naive:
        raise UsageError(
            f"'{text}' happened twice.",
            "The clock was set back over it. In UTC it is "
            f"{_utc_text(early)} or {_utc_text(late)}.",
            next_steps=(f"write the one you mean: '{_utc_text(early)}' or '{_utc_text(late)}'",),
        )
    raise UsageError(
        f"'{text}' never happened.",
        f"The clock was set forward over it, by {abs(late - early)}.",
        next_steps=("write the time with an offset, such as +00:00",),
    )


def _in_utc(naive: datetime, zone: tzinfo | None) -> datetime:
    return (naive if zone is None else naive.replace(tzinfo=zone)).astimezone(UTC)


def _local(moment: datetime, zone: tzinfo | None) -> datetime:
    return moment.astimezone(zone).replace(tzinfo=None, fold=0)


def _utc_text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S+00:00")


def describe_moment(moment: datetime, now: datetime, zone: str | None = None) -> str:
    """A moment in UTC and in the operator's zone, and how long ago it was."""
    local = moment.astimezone(_configured(zone))
    age = timedelta(seconds=round((now - moment).total_seconds()))
    when = f"{age} ago" if age >= timedelta() else f"in {-age}"
    if not local.utcoffset():
        return f"{_utc_text(moment)}, {when}"
    shown = local.isoformat(sep=" ", timespec="seconds")
    return f"{_utc_text(moment)} = {shown} your time, {when}"
