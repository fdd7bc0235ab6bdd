"""The server's messages that the catalogue must know: C formats, with the versions that have them.

Each is looked for in the binaries of the versions at hand, so that no wording is only believed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

SEGMENT = "000000010000000000000003"
LSN = "0/3000060"
_PREFIX = "2026-11-22 20:53:39.429 UTC [16888]"
_PLACE = re.compile(r"%X/%X|%X/%08X|%m|%(?:0?\d*)(?:l|ll|z)?[sudXg]")


@dataclass(frozen=True)
class ServerMessage:
    """A format, what fills its texts, and the failure that it tells of."""

    code: str
    format: str
    texts: tuple[str, ...] = ()
    """In order, for each %s and %m."""
    first: int = 12
    last: int = 18
    level: str = "FATAL"
    detail: str = ""

    def line(self) -> str:
        """As it stands in a log."""
        texts = iter(self.texts)

        def filled(match: re.Match[str]) -> str:
            kind = match[0]
            if "/" in kind:
                return LSN
            if kind.endswith(("s", "m")):
                return next(texts)
            return "D0F0" if kind == "%04X" else "7"

        text = _PLACE.sub(filled, self.format).rstrip("\n")
        prefix = (
            "" if self.level == "TOOL" else f"2026-11-22 20:53:39.429 UTC [16888] {self.level}:  "
        )
        detail = (
            f"\n2026-11-22 20:53:39.429 UTC [16888] DETAIL:  {self.detail}" if self.detail else ""
        )
        return prefix + text + detail


M = ServerMessage
LOWER = (
    "max_connections = 50 is a lower setting than on the primary server, where its value was 120."
)

SERVER_MESSAGES = (
    M("checkpoint_wal_missing", "could not locate required checkpoint record", last=16),
    M("checkpoint_wal_missing", "could not locate required checkpoint record at %X/%X", first=17),
    M("redo_wal_missing", "could not find redo location referenced by checkpoint record", last=16),
    M(
        "redo_wal_missing",
        "could not find redo location %X/%X referenced by checkpoint record at %X/%X",
        first=17,
    ),
    M("no_valid_checkpoint", "could not locate a valid checkpoint record", level="PANIC", last=16),
    M(
        "no_valid_checkpoint",
        "could not locate a valid checkpoint record at %X/%X",
        level="PANIC",
        first=17,
    ),
    M("backup_label_invalid", 'invalid data in file "%s"', ("backup_label",)),
    M("incremental_not_combined", "this is an incremental backup, not a data directory", first=17),
    M(
        "restore_command_missing",
        "must specify restore_command when standby mode is not enabled",
        last=16,
    ),
    M(
        "restore_command_missing",
        'must specify "restore_command" when standby mode is not enabled',
        first=17,
    ),
    M("recovery_conf", 'using recovery command file "%s" is not supported', ("recovery.conf",)),
    M("several_targets", "multiple recovery targets specified"),
    M(
        "invalid_target_time",
        'invalid value for parameter "%s": "%s"',
        ("recovery_target_time", "2026-11-22T20:30Z"),
        level="LOG",
    ),
    M(
        "target_not_reached",
        "recovery ended before configured recovery target was reached",
        first=13,
    ),
    M(
        "target_before_consistency",
        "requested recovery stop point is before consistent recovery point",
    ),
    M("wal_ends_before_backup_end", "WAL ends before end of online backup"),
    M("wal_ends_before_consistency", "WAL ends before consistent recovery point"),
    M("timeline_not_a_child", "requested timeline %u is not a child of this server's history"),
    M(
        "timeline_lacks_recovery_point",
        "requested timeline %u does not contain minimum recovery point %X/%X on timeline %u",
    ),
    M("timeline_does_not_exist", "recovery target timeline %u does not exist"),
    M(
        "restore_command_not_executable",
        'could not restore file "%s" from archive: %s',
        (SEGMENT, "command not found"),
    ),
    M(
        "restore_command_failed",
        'could not restore file "%s" from archive: %s',
        (SEGMENT, "child process was terminated by signal 9: Killed"),
    ),
    M(
        "archived_file_wrong_size",
        'archive file "%s" has wrong size: %lu instead of %lu',
        (SEGMENT,),
        last=13,
    ),
    M(
        "archived_file_wrong_size",
        'archive file "%s" has wrong size: %lld instead of %lld',
        (SEGMENT,),
        first=14,
    ),
    M(
        "restore_command_wrote_nothing",
        'could not stat file "%s": %m',
        ("pg_wal/RECOVERYXLOG", "No such file or directory"),
    ),
    M(
        "wal_of_another_cluster",
        "WAL file is from different database system: WAL file database system identifier is %s, "
        "pg_control database system identifier is %s",
        ("7711096547980037623", "7711096547980037624"),
        level="LOG",
        last=12,
    ),
    M(
        "wal_of_another_cluster",
        "WAL file is from different database system: WAL file database system identifier is %llu, "
        "pg_control database system identifier is %llu",
        level="LOG",
        first=13,
        last=17,
    ),
    M(
        "wal_of_another_layout",
        "WAL file is from different database system: incorrect segment size in page header",
        level="LOG",
    ),
    M(
        "wal_damaged",
        "incorrect resource manager data checksum in record at %X/%X",
        level="LOG",
    ),
    M("wal_damaged", "invalid resource manager ID %u at %X/%X", level="LOG"),
    M("timeline_does_not_exist", "recovery target timeline %u does not exist"),
    M("history_file_damaged", "syntax error in history file: %s", ("x",)),
    M("history_file_damaged", 'invalid data in history file "%s"', ("00000002.history",)),
    M(
        "wrong_branch_mixed_in",
        "unexpected timeline ID %u (should be %u) in checkpoint record",
        level="PANIC",
        last=14,
    ),
    M(
        "wrong_branch_mixed_in",
        "unexpected timeline ID %u (should be %u) in shutdown checkpoint record",
        level="PANIC",
        first=15,
    ),
    M(
        "wrong_branch_mixed_in",
        "unexpected timeline ID %u in checkpoint record, before reaching minimum recovery point "
        "%X/%X on timeline %u",
        level="PANIC",
    ),
    M(
        "wal_level_minimal",
        "WAL was generated with wal_level=minimal, data may be missing",
        level="WARNING",
        last=13,
    ),
    M(
        "wal_level_minimal",
        "WAL was generated with wal_level=minimal, cannot continue recovering",
        first=14,
        last=16,
    ),
    M(
        "wal_level_minimal",
        'WAL was generated with "wal_level=minimal", cannot continue recovering',
        first=17,
    ),
    M(
        "wal_level_minimal",
        'hot standby is not possible because wal_level was not set to "replica" or higher on the '
        "master server",
        level="ERROR",
        last=13,
    ),
    M(
        "setting_lower_than_primary",
        "hot standby is not possible because %s = %d is a lower setting than on the master server "
        "(its value was %d)",
        ("max_connections",),
        last=13,
    ),
    M(
        "setting_lower_than_primary",
        "recovery aborted because of insufficient parameter settings",
        detail=LOWER,
        first=14,
    ),
    M(
        "paused_on_setting",
        "hot standby is not possible because of insufficient parameter settings",
        level="WARNING",
        detail=LOWER,
        first=14,
    ),
    M(
        "other_major_version",
        "database files are incompatible with server",
        detail="The data directory was initialized by PostgreSQL version 14, which is not "
        "compatible with this version 15.8.",
    ),
    M("other_build", "database files are incompatible with server"),
    M(
        "other_build",
        "database files are incompatible with server",
        detail="The database cluster was initialized with CATALOG_VERSION_NO 202107181, but the "
        "server was compiled with CATALOG_VERSION_NO 202209061.",
    ),
    M("control_file_damaged", "incorrect checksum in control file", level="PANIC"),
    M(
        "backup_label_contradicts",
        "backup_label contains data inconsistent with control file",
    ),
    M(
        "backup_was_cancelled",
        "online backup was canceled, recovery cannot continue",
        level="PANIC",
    ),
    M("invalid_pages", "WAL contains references to invalid pages", level="PANIC"),
    M(
        "tablespace_not_a_link",
        'unexpected directory entry "%s" found in %s',
        ("16384", "pg_tblspc/"),
        level="PANIC",
    ),
    M("tablespace_directory_missing", 'directory "%s" does not exist', ("/srv/ts",)),
    M(
        "tablespace_link",
        'could not create symbolic link "%s": %m',
        ("pg_tblspc/16384", "File exists"),
    ),
    M("wal_directory_missing", 'required WAL directory "%s" does not exist', ("pg_wal",)),
    M("data_directory_permissions", 'data directory "%s" has invalid permissions', ("/srv/d",)),
    M("data_directory_owner", 'data directory "%s" has wrong ownership', ("/srv/d",)),
    M("not_a_data_directory", '"%s" is not a valid data directory', ("/srv/d",)),
    M(
        "no_configuration",
        '%s: could not access the server configuration file "%s": %s\n',
        ("postgres", "/srv/d/postgresql.conf", "No such file or directory"),
        level="TOOL",
        last=16,
    ),
    M(
        "no_configuration",
        '%s: could not access the server configuration file "%s": %m\n',
        ("postgres", "/srv/d/postgresql.conf", "No such file or directory"),
        level="TOOL",
        first=17,
    ),
    M(
        "unknown_setting",
        'unrecognized configuration parameter "%s" in file "%s" line %u',
        ("promote_trigger_file", "/srv/d/postgresql.conf"),
        level="LOG",
        last=13,
    ),
    M(
        "unknown_setting",
        'unrecognized configuration parameter "%s" in file "%s" line %d',
        ("promote_trigger_file", "/srv/d/postgresql.conf"),
        level="LOG",
        first=14,
    ),
    M(
        "configuration_syntax",
        'syntax error in file "%s" line %u, near token "%s"',
        ("/srv/d/postgresql.conf", "="),
        level="LOG",
    ),
    M(
        "library_missing",
        'could not access file "%s": %m',
        ("pg_stat_statements", "No such file or directory"),
    ),
    M(
        "ssl_files",
        'could not load server certificate file "%s": %s',
        ("server.crt", "No such file or directory"),
        last=17,
    ),
    M("ssl_files", 'private key file "%s" has group or world access', ("server.key",)),
    M("memory", "could not map anonymous shared memory: %m", ("Cannot allocate memory",)),
    M("memory", "could not create shared memory segment: %m", ("Invalid argument",)),
    M(
        "port_in_use",
        'could not bind %s address "%s": %m',
        ("IPv4", "127.0.0.1", "Address already in use"),
        level="LOG",
    ),
    M("port_in_use", 'lock file "%s" already exists', ("/tmp/.s.PGSQL.5432.lock",)),
    M("pid_file", 'lock file "%s" already exists', ("postmaster.pid",)),
    M("pid_file", 'bogus data in lock file "%s": "%s"', ("postmaster.pid", "x")),
    M("pid_file", 'lock file "%s" is empty', ("postmaster.pid",)),
    M("orphans", "pre-existing shared memory block (key %lu, ID %lu) is still in use"),
    M("still_recovering", "the database system is starting up"),
    M("still_recovering", "the database system is not yet accepting connections", first=14),
    M("still_recovering", "the database system is not accepting connections", first=14),
    M("database_half_dropped", 'cannot connect to invalid database "%s"', ("shop",)),
    M("recovery_conflict", "canceling statement due to conflict with recovery", level="ERROR"),
    M("recovery_conflict", "terminating connection due to conflict with recovery"),
    M("locale_differs", "database locale is incompatible with operating system"),
    M(
        "page_damaged",
        "page verification failed, calculated checksum %u but expected %u",
        level="WARNING",
    ),
    M(
        "page_damaged",
        "invalid page in block %u of relation %s",
        ("base/5/16384",),
        level="ERROR",
        last=17,
    ),
    M(
        "page_damaged",
        'invalid page in block %u of relation "%s"',
        ("base/5/16384",),
        level="ERROR",
        first=18,
    ),
    M(
        "page_damaged",
        'could not read block %u in file "%s": read only %d of %d bytes',
        ("base/5/16384",),
        level="ERROR",
        last=16,
    ),
    M(
        "page_damaged",
        'could not read blocks %u..%u in file "%s": read only %zu of %zu bytes',
        ("base/5/16384",),
        level="ERROR",
        first=17,
    ),
    M("archiving_fails", "archive command failed with exit code %d", level="LOG"),
    M(
        "archiving_fails",
        'archiving write-ahead log file "%s" failed too many times, will try again later',
        (SEGMENT,),
        level="WARNING",
    ),
    M(
        "waits_for_archiving",
        "still waiting for all required WAL segments to be archived (%d seconds elapsed)",
        level="WARNING",
    ),
    M(
        "slot_needs_wal_level",
        'logical replication slot "%s" exists, but wal_level < logical',
        ("s",),
        last=16,
    ),
    M(
        "slot_needs_wal_level",
        'logical replication slot "%s" exists, but "wal_level" < "logical"',
        ("s",),
        first=17,
    ),
    M(
        "wal_removed",
        "requested WAL segment %s has already been removed",
        (SEGMENT,),
        level="ERROR",
    ),
    M(
        "newer_branch_appeared",
        "new timeline %u is not a child of database system timeline %u",
        level="LOG",
    ),
    M("no_replication_right", "must be superuser or replication role to start walsender", last=15),
    M("no_replication_right", "permission denied to start WAL sender", first=16),
    M(
        "no_free_wal_sender",
        "number of requested standby connections exceeds max_wal_senders (currently %d)",
        last=16,
    ),
    M(
        "no_free_wal_sender",
        'number of requested standby connections exceeds "max_wal_senders" (currently %d)',
        first=17,
    ),
    M(
        "wal_level_too_low",
        "WAL level not sufficient for making an online backup",
        level="ERROR",
    ),
    M("standby_backup_invalid", "the standby was promoted during online backup", level="ERROR"),
    M(
        "standby_backup_invalid",
        "WAL generated with full_page_writes=off was replayed during online backup",
        level="ERROR",
        last=16,
    ),
    M(
        "standby_backup_invalid",
        'WAL generated with "full_page_writes=off" was replayed during online backup',
        level="ERROR",
        first=17,
    ),
    M("source_damaged", "checksum verification failure during base backup", level="ERROR"),
    M(
        "no_wal_summaries",
        "incremental backups cannot be taken unless WAL summarization is enabled",
        level="ERROR",
        first=17,
    ),
    M(
        "no_wal_summaries",
        "WAL summaries are required on timeline %u from %X/%X to %X/%X, but the summaries for "
        "that timeline and LSN range are incomplete",
        level="ERROR",
        first=17,
    ),
)
