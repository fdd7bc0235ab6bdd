"""WAL that is missing, damaged, or not this cluster's.

Texts: `xlogreader.c`, `xlogrecovery.c` (12 to 14: `xlog.c`), `timeline.c`.
"""

from __future__ import annotations

from pgrescue.explain.course import ended_at_damage, gets_no_more_wal
from pgrescue.explain.evidence import (
    archived_segment,
    backup_label,
    data_version,
    forks,
    identifiers,
    magic,
    segment_of_record,
    setting,
    signal_file,
)
from pgrescue.explain.message import LSN
from pgrescue.explain.rule import RECOVERY_UNCHANGED, Rule

_LSN = rf"(?P<lsn>{LSN})"
_SEGMENT = r"(?:log|WAL) segment (?P<file>[0-9A-F]{24})"
_ANOTHER_COPY = (
    "look for another copy of that segment: the old server's pg_wal, a standby, a second archive"
)
_STOP_BEFORE = "or stop before it: pgrescue timeline shows up to where the WAL is sound"

WAL = (
    Rule(
        code="checkpoint_wal_missing",
        patterns=(r"could not locate required checkpoint record(?: at " + _LSN + ")?",),
        title="The WAL with which the backup begins could not be had.",
        cause="The server read backup_label and found no WAL at the place it names. Either there "
        "is no recovery.signal, so that the restore_command was never asked; or the command is "
        "wrong; or the segment is not in the archive; or recovery follows a timeline that left "
        "before this backup was taken.",
        evidence=(
            signal_file,
            backup_label,
            setting("restore_command"),
            setting("recovery_target_timeline"),
        ),
        next=(
            "pgrescue timeline   shows the timelines, where they fork, and what is missing",
            "pgrescue plan   checks all of these before anything is started",
            "leave backup_label where it is, whatever the server's hint says: without it the "
            "restored cluster would be silently corrupt",
        ),
    ),
    Rule(
        code="redo_wal_missing",
        patterns=(rf"could not find redo location(?: {_LSN})? referenced by checkpoint record",),
        title="The first segment that the backup needs is missing.",
        cause="Replay begins at the backup's start, which lies in an earlier segment than its "
        "checkpoint; that earlier one could not be fetched.",
        evidence=(backup_label, signal_file),
        next=(
            "pgrescue timeline   names what is missing",
            "fetch the segment named in backup_label's START WAL LOCATION, then {again}",
        ),
    ),
    Rule(
        code="no_valid_checkpoint",
        patterns=(r"could not locate a valid checkpoint record(?: at " + _LSN + ")?",),
        title="There is no backup_label, and the WAL that pg_control asks for is not there.",
        cause="A restored backup has lost its backup_label, or pg_wal was emptied by hand.",
        evidence=(signal_file,),
        next=(
            "restore the backup again, whole, with its backup_label: pgrescue plan",
            "if this was the live cluster: keep a copy of the directory, put back what was taken "
            "out of pg_wal, and start again",
        ),
    ),
    Rule(
        code="wal_ends_before_backup_end",
        patterns=(
            r"WAL ends before end of online backup",
            r"online backup was started and must be ended",
            r"Online backup started with pg_start_backup\(\) must be ended",
        ),
        title="The WAL ends before the backup's own end.",
        cause="A base backup is consistent only once everything written while it was taken is "
        "replayed; part of that is missing.",
        evidence=(backup_label,),
        next=(
            "pgrescue show BACKUP   names the WAL that it needs",
            "fetch the missing segments, or restore another backup: pgrescue catalog",
        ),
    ),
    Rule(
        code="wal_ends_before_consistency",
        patterns=(r"WAL ends before consistent recovery point",),
        title="The WAL ends before the data is consistent.",
        cause="The data directory has pages from a later moment than the WAL reaches (a backup "
        "from a standby, or a recovery that had already gone further).",
        evidence=(backup_label,),
        next=("pgrescue timeline", "fetch the later segments, or restore another backup"),
    ),
    Rule(
        code="timeline_not_a_child",
        patterns=(r"requested timeline (?P<timeline>\d+) is not a child of this server's history",),
        detail=r'Latest checkpoint (?:in file "[^"]*" )?is at (?P<at>[0-9A-F/]+) on timeline '
        rf"(?P<own>\d+).* at {_LSN}",
        title="The backup does not lie on timeline {timeline}.",
        cause="Its checkpoint {at} is on timeline {own}, and timeline {timeline} had left that one "
        "before, at {lsn}.",
        evidence=(forks,),
        next=(
            "choose the backup's own timeline: pgrescue plan --timeline {own}",
            "or a backup taken before the fork: pgrescue catalog",
        ),
    ),
    Rule(
        code="timeline_lacks_recovery_point",
        patterns=(
            r"requested timeline (?P<timeline>\d+) does not contain minimum recovery point "
            rf"{_LSN} on timeline (?P<own>\d+)",
        ),
        title="The data has already been replayed beyond where timeline {timeline} begins.",
        cause="It stands at {lsn} on timeline {own}; going back is not possible.",
        evidence=(forks,),
        next=(
            "restore the backup again, for the timeline you want: pgrescue plan --timeline "
            "{timeline}",
        ),
    ),
    Rule(
        code="timeline_does_not_exist",
        patterns=(r"recovery target timeline (?P<timeline>\d+) does not exist",),
        title="There is no history file for timeline {timeline}.",
        cause="The archive has lost it, the restore_command cannot fetch it, or the number was "
        "read from a file's name: file names are hexadecimal, the setting is decimal.",
        evidence=(forks, setting("recovery_target_timeline")),
        next=("pgrescue timeline   lists the timelines by their decimal numbers",),
    ),
    Rule(
        code="newer_branch_appeared",
        patterns=(
            r"new timeline (?P<timeline>\d+) (?:forked off current database system timeline"
            r"|is not a child of database system timeline)",
        ),
        title="A branch that this server does not follow appeared while it recovered.",
        cause="Somebody promoted another server of this cluster: timeline {timeline}.",
        evidence=(forks,),
        levels=("LOG",),
        weight="note",
        next=(
            "pgrescue timeline",
            "with a numeric recovery_target_timeline no branch is followed by surprise",
        ),
    ),
    Rule(
        code="history_file_damaged",
        patterns=(
            r"(?:syntax error in|invalid data in) history file(?:: (?P<line>.*)| "
            r"\"(?P<file>[^\"]*)\")?",
        ),
        title="A timeline history file is damaged.",
        cause="Its lines must be: parent timeline, LSN of the fork, reason; in ascending order.",
        evidence=(archived_segment,),
        next=(
            "pgrescue timeline   names the file",
            "fetch another copy of it: pg_wal of any server on that timeline has one",
        ),
    ),
    Rule(
        code="wal_of_another_cluster",
        patterns=(
            r"WAL file is from different database system: WAL file database system identifier is "
            r"(?P<theirs>\d+), pg_control database system identifier is (?P<ours>\d+)",
        ),
        title="The archive holds the WAL of another cluster.",
        cause="Its system identifier is {theirs}, the data directory's {ours}.",
        wrong_end=True,
        evidence=(identifiers,),
        next=(
            "pgrescue doctor   compares the identifiers",
            "point wal_archive at this cluster's archive; foreign files in it are named by: "
            "pgrescue timeline",
        ),
    ),
    Rule(
        code="wal_of_another_layout",
        patterns=(
            r"WAL file is from different database system: incorrect (?P<what>segment "
            r"size|XLOG_BLCKSZ) in page header",
        ),
        title="The archive's WAL has another {what}.",
        cause="It comes from a cluster that was made with other options of initdb or configure.",
        wrong_end=True,
        evidence=(identifiers,),
        next=("pgrescue doctor", "point wal_archive at this cluster's archive"),
    ),
    Rule(
        code="not_wal",
        patterns=(
            rf"invalid magic number (?P<magic>[0-9A-F]{{4}}) in {_SEGMENT}",
            rf"invalid info bits [0-9A-F]+ in {_SEGMENT}",
        ),
        title="Segment {file} is not WAL of this PostgreSQL version.",
        cause="It is compressed, zeroed, damaged, or of another major version. At the end of "
        "pg_wal itself this is how recovery notices that there is no more.",
        evidence=(magic, archived_segment, data_version),
        only_with_failure=True,
        next=("pgrescue timeline --check", _ANOTHER_COPY, _STOP_BEFORE),
    ),
    Rule(
        code="wal_damaged",
        patterns=(
            rf"incorrect resource manager data checksum in record at {_LSN}",
            rf"invalid resource manager ID \d+ at {_LSN}",
            rf"record with invalid length at {_LSN}",
            rf"record length \d+ at {_LSN} (?:is )?too long",
        ),
        title="WAL is damaged at {lsn}: recovery can go no further on this copy.",
        cause="The record there does not match its checksum or its own lengths. Everything "
        "before it is sound. The server takes this for the end of the WAL: without a target it "
        "opens for writing, and what came after is lost without a word.",
        evidence=(segment_of_record,),
        holds=ended_at_damage,
        wrong_end=True,
        next=(
            "pgrescue timeline --check   shows every damaged segment",
            _ANOTHER_COPY,
            _STOP_BEFORE,
        ),
    ),
    Rule(
        code="wal_does_not_fit",
        patterns=(
            rf"record with incorrect prev-link [0-9A-F/]+ at (?P<spot>{_LSN})",
            rf"there is no contrecord flag at (?P<spot>{_LSN})",
            rf"contrecord is requested by (?P<spot>{_LSN})",
            rf"invalid contrecord length \d+.* at (?P<spot>{_LSN})",
            rf"unexpected pageaddr [0-9A-F/]+ in (?P<spot>{_SEGMENT})",
            rf"out-of-sequence timeline ID \d+ \(after \d+\) in (?P<spot>{_SEGMENT})",
        ),
        title="The WAL at {spot} does not continue what comes before it.",
        cause="A segment is missing in between, stems from another branch, or is the old content "
        "of a recycled file. At the end of pg_wal itself this is normal.",
        evidence=(segment_of_record, archived_segment),
        only_with_failure=True,
        next=("pgrescue timeline --check", _ANOTHER_COPY, _STOP_BEFORE),
    ),
    Rule(
        code="wrong_branch_mixed_in",
        patterns=(
            r"unexpected timeline ID (?P<timeline>\d+) \((?:after|should be) \d+\) in "
            r"(?:checkpoint|end-of-recovery|shutdown checkpoint|online checkpoint) record",
            r"unexpected timeline ID (?P<timeline>\d+) in checkpoint record, before reaching",
            r"unexpected timeline ID (?P<timeline>\d+) in (?:log|WAL) segment",
            r"according to history file, WAL location \S+ belongs to timeline (?P<timeline>\d+)",
        ),
        title="WAL of another branch was mixed in.",
        cause="A record or page says timeline {timeline} where another one was due: files of two "
        "branches lie under the same names.",
        evidence=(forks,),
        next=(
            "pgrescue timeline --check",
            "restore again with a numeric timeline, from an archive without those files",
        ),
    ),
    Rule(
        code="wal_level_minimal",
        patterns=(
            r"WAL was generated with \"?wal_level=minimal\"?, (?:cannot continue recovering|data "
            r"may be missing)",
            r"hot standby is not possible because \"?wal_level\"? was not set to \"?replica\"?",
        ),
        title="The cluster was run with wal_level = minimal after this backup.",
        cause="What happened while it was set is not in the WAL: no recovery can pass this point.",
        next=(
            "restore a backup that was taken later: pgrescue catalog",
            "or stop before it: pgrescue timeline",
        ),
    ),
    Rule(
        code="backup_was_cancelled",
        patterns=(r"online backup was canceled, recovery cannot continue",),
        title="The backup was aborted on the server from which it was taken.",
        cause="The WAL has a shutdown between the backup's start and its end; its files never "
        "became a consistent set.",
        unchanged=RECOVERY_UNCHANGED,
        next=("restore another backup: pgrescue catalog",),
    ),
    Rule(
        code="invalid_pages",
        patterns=(
            r"WAL contains references to invalid pages",
            r"page \d+ of relation (?P<path>\S+) (?:does not exist|is uninitialized)",
        ),
        title="The WAL changes pages that the backup does not have.",
        cause="Files are missing from the backup, its backup_label was taken away, or it was "
        "taken while full_page_writes was off.",
        levels=("PANIC", "WARNING", "ERROR", "FATAL"),
        next=(
            "pgrescue verify BACKUP   compares it with its manifest",
            "restore another backup: pgrescue catalog",
        ),
    ),
    Rule(
        code="wal_removed",
        patterns=(
            r"(?:could not receive data from WAL stream: ERROR:  )?requested WAL segment "
            r"(?P<file>[0-9A-F]{24}) has already been removed",
        ),
        title="The primary no longer has the segment {file}.",
        cause="The standby or the backup was away for longer than the primary keeps WAL, and no "
        "replication slot held it back. At a fork it can also mean that a transaction prepared "
        "before it is looked for in the child's file.",
        levels=("LOG", "WARNING", "ERROR", "FATAL"),
        evidence=(archived_segment,),
        holds=gets_no_more_wal,
        next=(
            "give the standby a restore_command that reads the archive",
            "or fill it anew: pgrescue reseed --source CONNINFO",
        ),
    ),
    Rule(
        code="crash_recovery_changes_timeline",
        patterns=(
            r"crash recovery starts in timeline (?P<old>\d+) and has target timeline (?P<new>\d+)",
        ),
        title="Recovery begins on timeline {old}, without a backup_label, and goes on to {new}.",
        cause="That is right for a snapshot of all volumes at one moment, and for a server that "
        "has crashed. Any other copy has lost its backup_label: pages can be silently wrong.",
        weight="note",
        levels=("LOG",),
        next=(
            "find out how this data directory was made",
            "if it is a copy of another kind: do not use its data, and restore again: pgrescue "
            "plan",
        ),
    ),
)
