"""One backup, verified from its first byte to its last."""

from __future__ import annotations

import time
from pathlib import Path

from pgrescue.catalog.extent import NOT_WHOLE
from pgrescue.catalog.look import DIFFERENT, UNSAFE
from pgrescue.catalog.model import Backup, Problem
from pgrescue.errors import PgRescueError
from pgrescue.postgres.manifest import NAME as MANIFEST
from pgrescue.postgres.manifest import Manifest, read_manifest
from pgrescue.verify.files import FileCheck, Report
from pgrescue.verify.model import FileProblem, ProblemCode, Verification
from pgrescue.verify.own_wal import check_own_wal

_FOUND_BELOW = (UNSAFE, DIFFERENT, NOT_WHOLE)
"""Codes of problems that the reading of every file finds, too, and says more exactly."""


def verify_backup(
    backup: Backup,
    report: Report = lambda _bytes, _name: None,
    *,
    must_carry_wal: bool = False,
) -> Verification:
    """Read everything; whatever is wrong is among the problems, never raised.

    What `report` raises ends it: that is how it is stopped. A backup may leave its WAL to the
    archive, unless it is known to have been taken with it.
    """
    began = time.monotonic()
    problems = [
        FileProblem(Path(backup.path).name, _code_of(problem), problem.message)
        for problem in backup.problems
        if problem.fatal and (backup.details is None or problem.code not in _FOUND_BELOW)
    ]
    check: FileCheck | None = None
    if backup.details is not None:
        manifest = _manifest(backup, problems)
        check = FileCheck(manifest, report)
        check.read(backup)
        problems += check.problems
        if not check.problems:
            problems += check_own_wal(backup, must_carry_wal)
    unproved = all(problem.code == "no_manifest" for problem in problems)
    return Verification(
        backup=backup.id,
        ok=unproved and check is not None,
        files=check.files if check else 0,
        bytes=check.size if check else 0,
        seconds=round(time.monotonic() - began, 3),
        problems=tuple(problems),
    )


def _code_of(problem: Problem) -> ProblemCode:
    """What could not be looked at may be whole."""
    return "unreadable" if problem.code == "unreadable" else "damaged"


def _manifest(backup: Backup, problems: list[FileProblem]) -> Manifest | None:
    if not backup.has_manifest:
        message = "There is no manifest: the files can be read, but not compared with anything."
        problems.append(FileProblem(MANIFEST, "no_manifest", message))
        return None
    try:
        return read_manifest(Path(backup.path))
    except (OSError, PgRescueError) as error:
        problems.append(FileProblem(MANIFEST, "manifest", f"{MANIFEST} cannot be used: {error}"))
        return None
