"""The data directory itself: version, files, permissions, tablespaces.

Texts: `src/backend/utils/init/miscinit.c`, `xlog.c`, `xlogrecovery.c`, `tablespace.c`,
`src/common/controldata_utils.c`.
"""

from __future__ import annotations

from pgrescue.explain.evidence import backup_label, data_version, identifiers, place, setting
from pgrescue.explain.rule import GOES_ON, START_UNCHANGED, Rule

_SERVER = r"^(?:\S*(?:postgres|postmaster): )?(?!.*\.s\.PGSQL\.)"
"""Its own words, also before it has a log; not about its socket, which lies elsewhere."""
_RESTORE_AGAIN = "restore again, from a backup that is whole: pgrescue verify BACKUP, pgrescue plan"

DATA = (
    Rule(
        code="incremental_not_combined",
        patterns=(r"this is an incremental backup, not a data directory",),
        title="This is an incremental backup; it cannot be started by itself.",
        cause="It holds only what changed since its parent and must be combined with it first.",
        unchanged=START_UNCHANGED,
        next=(
            "pgrescue plan   combines the whole chain",
            "by hand, oldest first: {bin!q}/pg_combinebackup FULL INCREMENTAL -o NEW_DIRECTORY",
        ),
    ),
    Rule(
        code="backup_label_invalid",
        patterns=(r'invalid data in file "(?P<path>backup_label|tablespace_map)"',),
        title="{path} was changed, or is damaged.",
        cause="It must be there byte for byte as the backup has it: an editor, a copy with other "
        "line ends or a cut-off file is enough.",
        evidence=(place("path"),),
        unchanged=START_UNCHANGED,
        next=("take it out of the backup again, unchanged", _RESTORE_AGAIN),
    ),
    Rule(
        code="backup_label_contradicts",
        patterns=(r"backup_label contains data inconsistent with control file",),
        title="backup_label and pg_control do not belong together.",
        cause="The backup says it was taken from a standby, but its pg_control was not copied "
        "last, or comes from elsewhere. The backup cannot be used.",
        evidence=(backup_label,),
        next=("restore another backup: pgrescue catalog",),
    ),
    Rule(
        code="other_major_version",
        patterns=(),
        only_with_detail=(r"database files are incompatible with server",),
        detail=r"initialized by PostgreSQL version (?P<theirs>[\d.]+), which is not compatible "
        r"with this version (?P<ours>\d+(?:\.\d+)*)",
        title="The data directory was made by PostgreSQL {theirs}; this server is {ours}.",
        cause="The files of a major version can only be read by its own server.",
        evidence=(data_version,),
        unchanged=START_UNCHANGED,
        next=(
            "start it with the binaries of that version: /usr/lib/postgresql/{theirs}/bin",
            "pgrescue doctor   compares bin_directory with the data",
        ),
    ),
    Rule(
        code="other_build",
        patterns=(r"database files are incompatible with server",),
        title="The data directory was made by another server than this one.",
        cause="Its server is of another major or preliminary version, was compiled with other "
        "limits, or for another kind of processor. The DETAIL in the log names what differs.",
        evidence=(data_version,),
        unchanged=START_UNCHANGED,
        next=(
            "start it with the package that made it, on the same kind of machine",
            "pgrescue doctor   compares bin_directory with the data",
        ),
    ),
    Rule(
        code="control_file_damaged",
        patterns=(
            r"incorrect checksum in control file",
            r'could not read file "(?P<path>[^"]*pg_control)": read (?P<got>\d+) of \d+',
            r'could not open file "(?P<path>[^"]*pg_control)": No such file or directory',
            r"byte ordering mismatch",
        ),
        title="pg_control is damaged or missing.",
        cause="Without it the server knows nothing of the state of its files. In a restore it is "
        "written last, so an interrupted one looks like this.",
        evidence=(place("path"),),
        unchanged=START_UNCHANGED,
        next=("pgrescue status   tells whether a restore was interrupted here", _RESTORE_AGAIN),
    ),
    Rule(
        code="not_a_data_directory",
        patterns=(
            r'"(?P<path>[^"]+)" is not a valid data directory',
            r'data directory "(?P<path>[^"]+)" does not exist',
            r'(?:pg_ctl: )?directory "(?P<path>[^"]+)" is not a database cluster directory',
        ),
        title="{path} is not a data directory.",
        cause="PG_VERSION is not in it: the backup was unpacked one level too deep, not at all, or "
        "the server was pointed at another path.",
        evidence=(place("path"),),
        unchanged=START_UNCHANGED,
        next=("ls {path!q}", "pgrescue plan   restores into the configured data_directory"),
    ),
    Rule(
        code="data_directory_permissions",
        patterns=(
            r'data directory "(?P<path>[^"]+)" has (?:invalid permissions'
            r"|group or world access)",
        ),
        title="The data directory's permissions are too open.",
        cause="The server wants 0700, or 0750.",
        evidence=(place("path"),),
        unchanged=START_UNCHANGED,
        next=("chmod 0700 {path!q}", "{again}"),
    ),
    Rule(
        code="data_directory_owner",
        patterns=(r'data directory "(?P<path>[^"]+)" has wrong ownership',),
        title="The data directory belongs to another account than the one that starts the server.",
        cause="It was unpacked as root, or the server is started by the wrong account.",
        evidence=(place("path"),),
        unchanged=START_UNCHANGED,
        next=("chown -R {account!q}: {path!q}   (and the tablespaces)", "{again}"),
    ),
    Rule(
        code="started_as_root",
        patterns=(
            r'"root" execution of the PostgreSQL server is not permitted',
            r"cannot be (?:run|executed) (?:as root|by \"root\")",
        ),
        title="The server was started as root.",
        cause="PostgreSQL refuses that, so that a hole in it is not a hole in the machine.",
        unchanged=START_UNCHANGED,
        next=("start it through its service, or as its own account: sudo -u {account!q} ...",),
    ),
    Rule(
        code="access_denied",
        patterns=(
            rf'{_SERVER}could not (?:open|access|stat|read) .*"(?P<path>[^"]+)": Permission denied',
            # What is not made yet belongs to nobody: its directory is the one to look at.
            rf'{_SERVER}could not create .*"(?P<path>[^"]+)/[^"/]+": Permission denied',
            rf'{_SERVER}could not create .*"[^"/]+": Permission denied',
        ),
        title="The server's account may not use {full_path}.",
        cause="Its owner or mode, or those of a directory above it, keep the account out.",
        evidence=(place("path"),),
        levels=("FATAL", "PANIC", "LOG", "TOOL"),
        next=(
            "see who may pass each directory above it: namei -l {full_path!q}",
            "chown -R {account!q}: {full_path!q}   (where the owner is wrong)",
            "{again}",
        ),
    ),
    Rule(
        code="tablespace_missing",
        patterns=(r'could not open directory "(?P<path>pg_tblspc/(?P<oid>\d+)[^"]*)"',),
        only_with_detail=(r'database "[^"]+" does not exist',),
        detail=r'The database subdirectory "(?P<path>pg_tblspc/(?P<oid>\d+)[^"]*)" is missing',
        title="A tablespace is missing: {path}.",
        cause="The link in pg_tblspc leads nowhere: its file system is not mounted, or its "
        "directory was not unpacked. The server starts all the same, and every table in it fails "
        "when it is read.",
        evidence=(place("path"),),
        levels=("LOG", "FATAL", "WARNING"),
        next=(
            "is its file system mounted? ls -l {data!q}/pg_tblspc   shows where the links lead",
            "if it is not: stop the server, mount it, start the server again",
            "if this is a restored copy whose tablespace was not unpacked: restore again, with "
            "every tablespace: pgrescue plan [--tablespace OLD=NEW]",
        ),
    ),
    Rule(
        code="tablespace_not_a_link",
        patterns=(r'unexpected directory entry "(?P<oid>\d+)" found in "?pg_tblspc/?"?',),
        title="pg_tblspc has a directory where a link to a tablespace should be.",
        cause="A copy followed the link instead of copying it.",
        next=("restore again: pgrescue plan [--tablespace OLD=NEW]",),
    ),
    Rule(
        code="tablespace_directory_missing",
        patterns=(r'^directory "(?P<path>[^"]+)" does not exist',),
        title="The WAL creates a tablespace in {path}, which is not there.",
        cause="CREATE TABLESPACE is replayed with its original path; the directory must exist and "
        "be empty. On a machine where the original runs, this would be its live tablespace.",
        evidence=(place("path"),),
        levels=("FATAL",),
        next=(
            "if no other cluster uses that path: install -d -m 0700 -o {account!q} {path!q}",
            "{again}" + GOES_ON,
            "or stop before it: pgrescue timeline",
        ),
    ),
    Rule(
        code="tablespace_link",
        patterns=(r'could not create symbolic link "(?P<path>pg_tblspc/[^"]+)": (?P<why>.*)',),
        title="The link to a tablespace cannot be made: {why}.",
        cause="{path} is there already, or the account may not write there.",
        evidence=(place("path"),),
        next=("ls -la {data!q}/pg_tblspc", "restore again: pgrescue plan [--tablespace OLD=NEW]"),
    ),
    Rule(
        code="wal_directory_missing",
        patterns=(r'required WAL directory "(?P<path>[^"]+)" does not exist',),
        title="pg_wal is not there.",
        cause="It is a link to a place that does not exist, or was not restored.",
        evidence=(place("path"),),
        unchanged=START_UNCHANGED,
        next=("ls -ld {data!q}/pg_wal", "make its target again, owned by the server's account"),
    ),
    Rule(
        code="directory_missing",
        patterns=(
            r'could not open directory "(?P<path>pg_\w+(?:/\w+)*)": No such file or directory',
            r'could not open file "(?P<path>(?:global|base|pg_\w+)/[^"]+)": No such file or '
            r"directory",
        ),
        title="{path} is missing from the data directory.",
        cause="The copy left out empty directories, or files. What else it left out is not known.",
        evidence=(place("path"),),
        levels=("FATAL", "PANIC"),
        next=(_RESTORE_AGAIN,),
    ),
    Rule(
        code="page_damaged",
        patterns=(
            r"page verification failed, calculated checksum \d+ but expected \d+",
            r"invalid page in block (?P<block>\d+) of relation \"?(?P<path>[^\s\";]+)",
            r'could not read blocks? (?P<block>\d+)(?:\.\.\d+)? in file "(?P<path>[^"]+)"',
        ),
        title="A page of the data is damaged: {path}, block {block}.",
        cause="Its checksum does not match, or the file is too short: damaged on disk, or in the "
        "backup already.",
        evidence=(setting("data_checksums"),),
        next=(
            "pgrescue verify BACKUP   tells whether the backup has it whole",
            "on the source: select datname, checksum_failures from pg_stat_database",
            "restore another backup into a clone and take the table from there: pgrescue plan "
            "--into DIR",
        ),
    ),
    Rule(
        code="database_half_dropped",
        patterns=(r'cannot connect to invalid database "(?P<database>[^"]+)"',),
        only_with_detail=(r'database "(?P<database>[^"]+)" does not exist',),
        detail=r'The database subdirectory "(?P<path>[^"]+)" is missing',
        title="The database {database} is half dropped: it has its name, but no longer its files.",
        cause="DROP DATABASE deletes the files before its commit. In a recovery, a target right "
        "before that commit is too late; on a server that was not recovered, a DROP DATABASE was "
        "interrupted.",
        levels=("FATAL",),
        next=(
            "pgrescue incidents   names the target before the files were deleted",
            "if they are wanted back: restore again to that: pgrescue plan --to-lsn LSN "
            "--exclusive",
        ),
    ),
    Rule(
        code="locale_differs",
        patterns=(
            r"database locale is incompatible with operating system",
            r'database "(?P<database>[^"]+)" has a collation version mismatch',
            r'locale name "(?P<locale>[^"]+)" .*(?:not recognized|unknown)',
        ),
        title="This machine's locales are not those the database was made with.",
        cause="Indexes on text may be in the wrong order for this operating system.",
        evidence=(identifiers,),
        next=(
            "install the locale: locale -a",
            "reindex database, then: alter database NAME refresh collation version   (15+)",
        ),
    ),
)
