"""Which of the two has gone further: what is only in the old data is not in the new standby."""

from __future__ import annotations

from collections.abc import Iterator

from pgrescue.findings import Finding
from pgrescue.postgres.lsn import Lsn
from pgrescue.reseed.asked import Asked

TO_BE_TYPED = frozenset({"reseed.running_primary", "reseed.behind"})
"""Warnings past which only the cluster's name leads, typed, as before a removal."""


def was_no_primary(asked: Asked) -> Iterator[Finding]:
    """A primary that becomes a standby loses what only it has committed."""
    control = asked.facts.cluster.control
    if control is None or "recovery" in control.state:
        return
    lost = (
        "What was committed here and not there will not be in the standby; the old data directory "
        "is set aside with it."
    )
    if asked.facts.cluster.postmaster is None:
        message = f"This server was a primary when it last ran. {lost}"
        fix = "be sure that clients are led to the source"
        yield Finding("reseed.primary", "warning", message, fix)
    elif asked.server.in_recovery:
        yield Finding(
            "reseed.primary",
            "blocker",
            f"This server is running as a primary, and {_source(asked)} is a standby, "
            "perhaps its own: afterwards there would be no primary.",
            "promote the standby first if it is to take over: pg_ctl promote there; else name the "
            "primary as --source",
        )
    else:
        yield Finding(
            "reseed.running_primary",
            "warning",
            f"This server is running as a primary, and its clients are at work. {lost}",
            "be sure that clients are led to the source",
        )


def is_not_behind(asked: Asked) -> Iterator[Finding]:
    """The source has all the WAL that the old data directory has, as far as pg_control tells."""
    control, server, words = asked.facts.cluster.control, asked.server, asked.facts.source.words
    if control is None or control.system_identifier != server.system_identifier:
        return
    timeline, reached = control.current_timeline, _reached(asked)
    if timeline > server.timeline:
        yield Finding(
            "reseed.behind",
            "warning",
            f"{words} is on timeline {server.timeline}, the data directory here on {timeline}: it "
            "comes from a later promotion, whose commits the source does not have.",
            "look which of the two is the right one; the source may be an abandoned primary",
        )
    elif timeline == server.timeline and server.lsn is not None and reached > server.lsn:
        standby = server.in_recovery
        yield Finding(
            "reseed.lags" if standby else "reseed.behind",
            "warning",
            f"{words} is at {server.lsn}, the data directory here has reached {reached} on the "
            f"same timeline: the source {'has not replayed' if standby else 'does not have'} all "
            "of what is here.",
            "the source is a standby: see that it catches up"
            if standby
            else "look which of the two is the right one; the source may have been restored",
        )
    else:
        yield Finding("reseed.behind", "ok", "The source has all the WAL that was replayed here.")


def _source(asked: Asked) -> str:
    words = asked.facts.source.words
    return words[:1].lower() + words[1:]


def _reached(asked: Asked) -> Lsn:
    control = asked.facts.cluster.control
    assert control is not None
    return max(control.checkpoint_lsn, control.min_recovery_lsn)
