"""Checks of what is pgrescue's own: its state directory, and data it has set aside."""

from __future__ import annotations

import os
from pathlib import Path

from pgrescue.config.state import check_private, state_directory
from pgrescue.doctor.subject import Subject
from pgrescue.errors import Refused
from pgrescue.findings import Finding
from pgrescue.retention.build import REMOVED

_BESIDE = ".pgrescue-"
_INSIDE = ".pgrescue"


def state(subject: Subject) -> list[Finding]:
    """The state directory is private, writable, and outside the data directory."""
    path, code = state_directory(), "state.directory"
    if Path(os.path.realpath(path)).is_relative_to(
        os.path.realpath(subject.cluster.data_directory)
    ):
        message = f"{path} lies in the data directory, which a restore moves away."
        return [Finding(code, "blocker", message, "export PGRESCUE_STATE=/var/lib/pgrescue")]
    existing = path
    while not os.path.exists(existing):
        existing = existing.parent
    if not os.path.isdir(existing) or not os.access(
        existing, os.W_OK | os.X_OK, effective_ids=True
    ):
        message = f"{path} is not writable."
        return [Finding(code, "blocker", message, "export PGRESCUE_STATE=DIRECTORY")]
    if existing != path:
        return [Finding(code, "ok", f"{path} will be created when it is needed.")]
    try:
        check_private(path)
    except Refused as refusal:
        message = f"{refusal.title} {refusal.cause}"
        return [Finding(code, "blocker", message, refusal.next_steps[0])]
    return [Finding(code, "ok", f"{path} is private and writable.")]


def set_aside(subject: Subject) -> list[Finding]:
    """What restores have left beside or inside the data directory, and removals among backups."""
    directory = Path(os.path.realpath(subject.cluster.data_directory))
    archive = () if subject.archive is None else (subject.archive.path,)
    removed = [path for place in (*subject.cluster.backups, *archive) for path in _removed(place)]
    found = [(path, "restore") for path in _left(directory)]
    found += [(path, "removal") for path in removed]
    return [
        Finding(
            "leftovers.set_aside",
            "warning",
            f"{path} was set aside by an earlier {what} and still takes space.",
            "pgrescue runs; then, once it is no longer needed: pgrescue discard RUN",
        )
        for path, what in found
    ]


def _removed(place: Path) -> list[Path]:
    try:
        return sorted(path for path in place.iterdir() if path.name.startswith(REMOVED))
    except OSError:
        return []


def _left(directory: Path) -> list[Path]:
    try:
        beside = [
            path
            for path in directory.parent.iterdir()
            if path.name.startswith(directory.name + _BESIDE)
        ]
    except OSError:
        beside = []
    try:
        inside = list((directory / _INSIDE).iterdir())
    except OSError:
        inside = []
    return sorted(beside) + sorted(inside)
