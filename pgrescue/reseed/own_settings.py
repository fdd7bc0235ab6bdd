"""Whether the standby can start and follow with the configuration that stays in force here."""

from __future__ import annotations

from collections.abc import Iterator

from pgrescue.findings import Finding
from pgrescue.reseed.asked import Asked

_LIMITS = {
    "max_connections": "100",
    "max_prepared_transactions": "0",
    "max_locks_per_transaction": "64",
    "max_wal_senders": "10",
    "max_worker_processes": "8",
}
"""Settings that a hot standby needs at least as high as its primary has them, and what they are
where nothing sets them, from 12 to 18."""
STOPS = "recovery_target"
"""What the settings begin with that end recovery at a point; a standby goes on."""


def limits(asked: Asked) -> Iterator[Finding]:
    """Settings that stay as they are here may be too low to follow."""
    own = _in_force(asked)
    if not own:
        return
    values = {name: own.get(name, usual) for name, usual in _LIMITS.items()}
    low = [
        f"{name} = {value} (the source: {asked.server.settings[name]})"
        for name, value in values.items()
        if value.isdigit()
        and asked.server.settings.get(name, "").isdigit()
        and int(value) < int(asked.server.settings[name])
    ]
    if low:
        yield Finding(
            "reseed.limits",
            "blocker",
            f"Lower here than at the source, so that no hot standby can start: {', '.join(low)}.",
            f"raise them in {_main_file(asked)}; in postgresql.auto.conf, if they are set there",
        )


def no_target(asked: Asked) -> Iterator[Finding]:
    """What is left of a recovery to a point would stop the standby, or keep it from starting."""
    own = asked.facts.own.settings if _keeps_files(asked) else {}
    targets = [f"{name} = '{value}'" for name, value in own.items() if _is_target(name, value)]
    if targets:
        yield Finding(
            "reseed.target",
            "blocker",
            f"The configuration that stays in force here ends recovery: {', '.join(targets)}.",
            f"take it out of {_main_file(asked)}",
        )


def _is_target(name: str, value: str) -> bool:
    if name == "recovery_target_timeline":
        return value not in ("", "latest")
    return name.startswith(STOPS) and name != "recovery_target_inclusive" and value != ""


def _keeps_files(asked: Asked) -> bool:
    seed = asked.work.seed
    assert seed is not None
    return asked.facts.cluster.config_directory is not None or seed.keeps_configuration


def _in_force(asked: Asked) -> dict[str, str]:
    """By file; what only the source's files will say is right by itself."""
    seed, own = asked.work.seed, asked.facts.own
    assert seed is not None
    if not _keeps_files(asked):
        return {}
    return {**own.settings, **(own.altered if seed.keeps_configuration else {})}


def _main_file(asked: Asked) -> str:
    cluster = asked.facts.cluster
    return f"{cluster.config_directory or cluster.directory.real_path}/postgresql.conf"
