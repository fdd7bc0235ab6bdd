"""Which cluster and version a backup is of, from every file that says so."""

from __future__ import annotations

from dataclasses import dataclass

from pgrescue.catalog.look import VERSION, Look
from pgrescue.catalog.model import Problem
from pgrescue.errors import InvalidFormat
from pgrescue.postgres.backup_label import BackupLabel
from pgrescue.postgres.control_file import RELATIVE_PATH as CONTROL_FILE
from pgrescue.postgres.control_file import ControlFile, parse_control_file
from pgrescue.postgres.versions import NEWEST, OLDEST
from pgrescue.wal.segment import MAX_SEGMENT_SIZE, MIN_SEGMENT_SIZE, SegmentId


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose backup it is; None where no file that was read says it."""

    system_identifier: str | None
    of_files: str | None
    """The system identifier without asking the manifest."""
    major: int | None
    wal_segment_size: int | None
    control: ControlFile | None
    problems: tuple[Problem, ...]


def identify(look: Look, manifest_identifier: str | None) -> Identity:
    """Compare control file, `PG_VERSION` and the first WAL segment inside."""
    problems: list[Problem] = []
    control = _control(look, problems)
    header = look.wal_header
    if control and header and control.system_identifier != header.system_identifier:
        problems.append(
            Problem(
                "wal_foreign",
                f"The WAL inside is of system {header.system_identifier}, "
                f"{CONTROL_FILE} of {control.system_identifier}.",
            )
        )
    source = control or header
    of_files = source.system_identifier if source else None
    return Identity(
        system_identifier=of_files or manifest_identifier,
        of_files=of_files,
        major=_major(look, control, problems),
        wal_segment_size=(
            control.wal_segment_size if control else header.segment_size if header else None
        ),
        control=control,
        problems=tuple(problems),
    )


def segment_size_of(label: BackupLabel) -> int | None:
    """The segment size for which a label's start position lies in the segment that it names.

    None where that is so for several: at the very beginning of a run of 4 GiB.
    """
    fitting = []
    size = MIN_SEGMENT_SIZE
    while size <= MAX_SEGMENT_SIZE:
        if SegmentId.at(label.start_lsn, label.timeline, size).name(size) == label.start_segment:
            fitting.append(size)
        size *= 2
    return fitting[0] if len(fitting) == 1 else None


def _control(look: Look, problems: list[Problem]) -> ControlFile | None:
    file = look.files.get(CONTROL_FILE)
    if file is None:
        return None
    try:
        return parse_control_file(file.data)
    except InvalidFormat as error:
        problems.append(Problem("control_damaged", f"{error.title} {error.cause}".strip()))
        return None


def _major(look: Look, control: ControlFile | None, problems: list[Problem]) -> int | None:
    file = look.files.get(VERSION)
    stated = file.data.decode(errors="replace").strip() if file else ""
    if stated and not (stated.isdecimal() and OLDEST <= int(stated) <= NEWEST):
        problems.append(
            Problem(
                "version_unsupported",
                f"It is of PostgreSQL {stated}; pgrescue knows {OLDEST} to {NEWEST}.",
            )
        )
        return int(stated) if stated.isdecimal() else None
    if stated:
        return int(stated)
    if control and control.major:
        return control.major
    return look.wal_header.major if look.wal_header else None
