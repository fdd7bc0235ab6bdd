"""What follows from a plan's `Work`: places, programs and texts for commands and executors."""

from __future__ import annotations

from pathlib import PurePath

from pgrescue.plan.fetch_wal import ExpectedWal, fetch_wal_script
from pgrescue.plan.model import TablespaceWork, Work
from pgrescue.postgres.service import (
    Command,
    ServiceCommands,
    ServiceTarget,
    service_commands,
)


def service_of(work: Work) -> ServiceCommands:
    """The service's commands for this plan's server."""
    target = ServiceTarget(
        data_directory=work.data_directory,
        bin_directory=work.bin_directory,
        run_as=work.run_as,
        log=log_of(work),
        config_directory=work.config_directory,
        pinned=bool(work.lasting_settings),
        stop_timeout=work.stop_timeout,
    )
    return service_commands(work.service, target)


def replaced(by: str) -> str:
    """What is to be said of a run on whose place another one has worked since."""
    return (
        f"A later run, {by}, has worked on the same place since: what is there now is that one's, "
        "and this one goes neither on nor back."
    )


def undo_does(*, replaces: bool) -> str:
    """What an undo does, as the end of a sentence; where nothing was, nothing comes back."""
    return "puts the old data back" if replaces else "takes what was restored out of the way"


def log_outside(log: str | None, data_directory: str) -> str | None:
    """The server's log; one inside the data directory moves away with the old data."""
    inside = log is not None and PurePath(log).is_relative_to(data_directory)
    return None if inside else log


def log_of(work: Work) -> str:
    """The file that a server started with pg_ctl writes to."""
    if work.log is not None:
        return work.log
    inside = PurePath(work.staging).is_relative_to(work.data_directory)
    return f"{work.staging}/server.log" if inside else f"{work.data_directory}.log"


def tail_directory(work: Work) -> str:
    """Where WAL that the archive lacks is copied to before anything moves."""
    return f"{work.staging}/tail"


def held_directory(work: Work) -> str:
    """Where segments of a running server have a second name, until it is stopped and they are
    rescued."""
    return f"{work.staging}/held"


def wal_directories(work: Work) -> tuple[str, ...]:
    """Where recovery looks for WAL, in this order.

    What was rescued comes first: the archive has none of it, or a copy that ends earlier. But the
    original of a clone may go on with a segment, and a standby asks for that again and again.
    """
    tail = (tail_directory(work),) if work.rescues else ()
    archive = (work.wal_archive,) if work.wal_archive else ()
    is_overtaken = work.signal_file == "standby.signal" and not work.stop_service
    first = (*archive, *tail) if is_overtaken else (*tail, *archive)
    return (*first, f"{work.staging}/backup")


def fetch_wal_text(work: Work) -> str:
    """The fetch-wal script of this plan."""
    # A standby asks on and on, for longer than an archive keeps any file.
    is_for_once = work.signal_file == "recovery.signal"
    # Beside a command the directory may be a place that is emptied into the real archive.
    must_have_wal = is_for_once and work.archive_has_wal and not work.restore_command
    return fetch_wal_script(
        wal_directories(work),
        work.restore_command,
        expected_wal(work),
        work.proven_wal if is_for_once else None,
        not_empty=work.wal_archive if must_have_wal else None,
        last=work.last_wal if work.ends_with_the_plan else None,
    )


def expected_wal(work: Work) -> ExpectedWal:
    """What recovery's segments have in common."""
    return ExpectedWal(work.wal_segment_size, work.system_identifier, work.major)


def chain_directory(work: Work, number: int) -> str:
    """Where a member of an incremental chain lies unpacked."""
    part = work.chain[number]
    return part.path if part.format == "plain" else f"{work.staging}/chain/{number}"


def combined_directory(work: Work) -> str:
    """Where pg_combinebackup writes: `pg_control` comes with the rest, in no order to rely on."""
    return f"{work.staging}/combined"


COMBINED_MODE = 0o701
"""Its permissions: with any for others the server refuses to start there, and nobody gets there,
as the staging directory is closed."""


def combine_command(work: Work) -> Command:
    """pg_combinebackup over the chain, full backup first."""
    members = [chain_directory(work, number) for number in range(len(work.chain))]
    mappings: list[str] = []
    part = work.chain[-1]
    last = len(work.chain) - 1
    for item in part.tablespaces:
        old = item.archive if part.format == "plain" else f"{members[last]}.{item.oid}"
        new = combined_tablespace(work, item)
        mappings += ["-T", "=".join(path.replace("=", r"\=") for path in (old, new))]
    return Command(
        (
            f"{work.bin_directory}/pg_combinebackup",
            *members,
            "-o",
            combined_directory(work),
            *mappings,
        ),
        work.run_as,
    )


def tablespace_mapping(work: Work) -> dict[int, str]:
    """The tablespace_map that the server reads at its first start; plain backups have none."""
    part = work.chain[-1]
    if part.format == "plain" or len(work.chain) > 1:
        return {}
    return {item.oid: item.destination for item in part.tablespaces}


def has_stop_target(work: Work) -> bool:
    """Whether recovery is to stop somewhere instead of replaying all there is."""
    names = ("", "_name", "_time", "_xid", "_lsn")
    return any(work.settings.get(f"recovery_target{name}") for name in names)


def combined_tablespace(work: Work, item: TablespaceWork) -> str:
    """Where pg_combinebackup puts a tablespace: it insists on an empty directory, and in the
    tablespace's own the old cluster's files are set aside."""
    return f"{item.destination}/{work.tag}-combined"
