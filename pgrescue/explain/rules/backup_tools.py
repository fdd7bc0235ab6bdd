"""What the tools say: pg_basebackup and its like, tar and gzip, pgBackRest and Barman.

Texts: `src/bin/pg_basebackup`, `src/bin/pg_combinebackup`, `src/bin/pg_verifybackup`,
`src/backend/backup`, `src/backend/replication`.
"""

from __future__ import annotations

from pgrescue.explain.evidence import place, setting, space
from pgrescue.explain.rule import BACKUP_UNCHANGED, Rule
from pgrescue.explain.rules.archive import CUT_OFF

BACKUP_TOOLS = (
    Rule(
        code="no_room_for_backup",
        patterns=(
            r'"(?P<path>[^"]+)".*: (?:No space left on device|Disk quota exceeded)',
            r"No space left on device|[Dd]isk quota exceeded",
        ),
        title="There is no room left for the backup.",
        cause="It was needed for {path}.",
        evidence=(space("path"),),
        unchanged=BACKUP_UNCHANGED,
        levels=("TOOL",),
        next=(
            "df -h {path!q}",
            "make room, or choose another --destination or a stronger --compress",
        ),
    ),
    Rule(
        code="tool_access_denied",
        patterns=(
            r"(?P<program>pg_\w+|initdb): (?:\w+: )?could not (?:open|access|stat|read|create"
            r'|write)\b.*"(?P<path>[^"]+)": Permission denied',
        ),
        title="{program} may not use {path}.",
        cause="The account that ran it is kept out by the owner or the mode of that path, or of a "
        "directory above it.",
        unchanged="What it may not use it has not changed.",
        levels=("TOOL",),
        next=(
            "see who may pass each directory above it: namei -l {path!q}",
            "run it as the account that owns it",
        ),
    ),
    Rule(
        code="destination_not_empty",
        patterns=(r'directory "(?P<path>[^"]+)" exists but is not empty',),
        title="{path} is not empty.",
        cause="pg_basebackup writes only into an empty directory, as does each tablespace of a "
        "plain backup.",
        evidence=(place("path"),),
        next=("choose another --destination, or map the tablespace: --tablespace OLD=NEW",),
        unchanged=BACKUP_UNCHANGED,
    ),
    Rule(
        code="client_older_than_server",
        patterns=(r"incompatible server version (?P<version>\S+)",),
        title="pg_basebackup is older than the server ({version}).",
        cause="It must be of the server's major version or newer.",
        next=("set bin_directory to the server's version", "pgrescue doctor"),
        unchanged=BACKUP_UNCHANGED,
    ),
    Rule(
        code="no_replication_line",
        patterns=(
            r"no pg_hba.conf entry for (?:replication connection|host)",
            r"pg_hba.conf rejects (?:replication )?connection",
        ),
        title="pg_hba.conf lets no such connection in.",
        cause="A backup needs a line of its own for replication: the database is spelled "
        "'replication', 'all' does not include it.",
        levels=("TOOL",),
        next=(
            "add to pg_hba.conf: host replication ROLE ADDRESS scram-sha-256",
            "select pg_reload_conf()",
        ),
        unchanged=BACKUP_UNCHANGED,
    ),
    Rule(
        code="no_replication_right",
        patterns=(
            r"must be superuser or replication role to start walsender",
            r"must be superuser or have the REPLICATION attribute",
            r"permission denied to start WAL sender",
        ),
        title="The role may not replicate.",
        cause="A base backup is taken over a replication connection.",
        next=("alter role ROLE replication",),
        unchanged=BACKUP_UNCHANGED,
    ),
    Rule(
        code="wrong_password",
        patterns=(
            r"password authentication failed for user",
            r"fe_sendauth: no password supplied",
        ),
        title="The server wants another password.",
        cause="None was given, or a wrong one.",
        next=("put it into the account's ~/.pgpass, mode 0600: HOST:PORT:DATABASE:USER:PASSWORD",),
        levels=("TOOL",),
        unchanged=BACKUP_UNCHANGED,
    ),
    Rule(
        code="no_free_wal_sender",
        patterns=(r"number of requested standby connections exceeds",),
        title="No WAL sender is free.",
        cause="A backup that streams its WAL needs two of max_wal_senders.",
        evidence=(setting("max_wal_senders"),),
        next=(
            "select pid, application_name from pg_stat_replication",
            "raise max_wal_senders (needs a restart)",
        ),
        unchanged=BACKUP_UNCHANGED,
    ),
    Rule(
        code="no_free_slot",
        patterns=(r"all replication slots are in use",),
        title="No replication slot is free.",
        cause="max_replication_slots are all taken.",
        next=(
            "select slot_name, active from pg_replication_slots",
            "drop one that nobody uses, or raise max_replication_slots (needs a restart)",
        ),
        unchanged=BACKUP_UNCHANGED,
    ),
    Rule(
        code="wal_lost_during_backup",
        patterns=(
            r"could not find WAL file",
            r"requested WAL segment (?P<file>[0-9A-F]{24}) has already been removed",
        ),
        title="WAL that the backup needs was recycled before it was sent.",
        cause="The server kept it for too short.",
        levels=("TOOL",),
        next=("take it again with --wal-method stream",),
        unchanged=BACKUP_UNCHANGED,
    ),
    Rule(
        code="connection_lost",
        patterns=(
            r"server closed the connection unexpectedly",
            r"could not read COPY data",
            r"could not receive data from WAL stream",
            r"unexpected termination of replication stream",
            r"terminating connection due to",
            r"SSL SYSCALL error",
        ),
        title="The connection to the server was lost.",
        cause="The network, or the server went down.",
        next=("look into the server's log", "take the backup again"),
        levels=("TOOL",),
        unchanged=BACKUP_UNCHANGED,
    ),
    Rule(
        code="wal_stream_ended",
        patterns=(
            r"background process terminated unexpectedly",
            r"child (?:process|thread) exited with (?:error|exit code)",
        ),
        title="The part of pg_basebackup that receives WAL has ended.",
        cause="The message before it says why; without one it was killed, or lost its connection.",
        weight="consequence",
        next=("look into the server's log", "take the backup again"),
        levels=("TOOL",),
        unchanged=BACKUP_UNCHANGED,
    ),
    Rule(
        code="source_damaged",
        patterns=(r"checksum verification fail(?:ed|ure)", r": error: checksum error occurred"),
        title="Pages in the server's own files are damaged.",
        cause="The backup read them and their checksums did not match. It cannot be trusted, and "
        "neither can those tables.",
        next=(
            "look for 'checksum verification failed in file' in the server's log: which files?",
            "keep the last good backup; it has them whole: pgrescue catalog",
        ),
        unchanged=BACKUP_UNCHANGED,
    ),
    Rule(
        code="wal_of_tar_not_parsed",
        patterns=(r"pg_waldump cannot read tar files",),
        title="pg_verifybackup cannot look into the WAL of a tar backup.",
        cause="That says nothing against the backup: it is to be told to leave the WAL out.",
        next=("pg_verifybackup -n BACKUP", "or: pgrescue verify BACKUP"),
        unchanged=BACKUP_UNCHANGED,
    ),
    Rule(
        code="wal_level_too_low",
        patterns=(r"WAL level not sufficient for making an online backup",),
        title="The server's wal_level is minimal.",
        cause="A base backup needs replica or logical.",
        evidence=(setting("wal_level"),),
        next=("alter system set wal_level = 'replica'   (needs a restart)",),
        unchanged=BACKUP_UNCHANGED,
    ),
    Rule(
        code="standby_backup_invalid",
        patterns=(
            r"the standby was promoted during online backup",
            r"WAL generated with \"?full_page_writes=off\"? was replayed during online backup",
        ),
        title="The standby changed while it was backed up.",
        cause="It was promoted, or its primary writes without full pages: the backup is invalid.",
        next=("take it again",),
        unchanged=BACKUP_UNCHANGED,
    ),
    Rule(
        code="no_wal_summaries",
        patterns=(
            r"incremental backups cannot be taken unless WAL summarization is enabled",
            r"WAL summaries are required on timeline (?P<timeline>\d+)",
            r"manifest requires WAL from (?:final |initial )?timeline",
            r"WAL summarization is not progressing",
            r"timeline \d+ found in manifest, but not in this server's history",
        ),
        title="The server cannot tell what has changed since the parent backup.",
        cause="summarize_wal was off, its files have expired (wal_summary_keep_time), or the "
        "timeline has changed.",
        evidence=(setting("summarize_wal"),),
        next=("take a full backup: pgrescue backup", "alter system set summarize_wal = on"),
        unchanged=BACKUP_UNCHANGED,
    ),
    Rule(
        code="tablespace_not_mapped",
        patterns=(r"tablespace at \"?(?P<path>.*?)\"? has no tablespace mapping",),
        title="pg_combinebackup was not told where to put the tablespace {path}.",
        cause="It never writes to the original's place: each tablespace needs a directory of its "
        "own.",
        next=(
            "add to the command: --tablespace-mapping {path!q}=NEW_DIRECTORY   (-T; once for each "
            "tablespace)",
            "pgrescue plan --tablespace OLD=NEW   combines with every mapping",
        ),
        unchanged=BACKUP_UNCHANGED,
    ),
    Rule(
        code="chain_broken",
        patterns=(
            r"backup at \"?(?P<path>.*?)\"? starts at LSN (?P<got>\S+), but expected "
            r"(?P<wanted>\S+)",
            r"backup at \"?(?P<path>.*?)\"? (?:starts on timeline|is a full backup|is an "
            r"incremental)",
            r"manifest system identifier is",
            r"system identifier in manifest|: expected system identifier",
        ),
        title="These backups do not make a chain.",
        cause="One is missing, or they are given in the wrong order: full first, then each in the "
        "order they were taken.",
        next=("pgrescue catalog   shows the chains", "pgrescue plan   combines the right one"),
        unchanged=BACKUP_UNCHANGED,
    ),
    Rule(
        code="manifest_damaged",
        patterns=(
            r"manifest checksum mismatch",
            r"could not parse backup manifest",
        ),
        title="The backup's manifest is damaged.",
        cause="It does not match its own checksum, or is no longer JSON. The files may be whole, "
        "but nothing proves it.",
        next=("pgrescue verify BACKUP", "pgrescue catalog   for another backup"),
        unchanged=BACKUP_UNCHANGED,
    ),
    Rule(
        code="backup_damaged",
        patterns=(
            r'"(?P<path>[^"]+)" has size (?P<got>\d+) (?:on disk|in) .*but size (?P<wanted>\d+)',
            r'"(?P<path>[^"]+)" is present in the manifest but not (?:on disk|in)',
            r'"(?P<path>[^"]+)" is present (?:on disk|in .*) but not in the manifest',
            r'checksum mismatch for file "(?P<path>[^"]+)"',
            r"invalid checksum '(?P<path>[^']+)'",
        ),
        title="The backup is not what its manifest says: {path}.",
        cause="A file was changed, lost or added after the backup was taken.",
        next=(
            "pgrescue verify BACKUP   lists every such file",
            "pgrescue catalog   for another backup",
        ),
        unchanged=BACKUP_UNCHANGED,
    ),
    Rule(
        code="backup_wal_unreadable",
        patterns=(
            r"WAL parsing failed for timeline (?P<timeline>\d+)",
            r"could not find any WAL file",
            r"pg_waldump: error: could not open directory",
        ),
        title="The WAL that the backup needs could not be read.",
        cause="It is not in the backup (taken without WAL, or from another place), or damaged.",
        next=("pgrescue verify BACKUP", "pg_verifybackup --no-parse-wal checks only the files"),
        unchanged=BACKUP_UNCHANGED,
    ),
    Rule(
        code="tar_damaged",
        patterns=CUT_OFF,
        title="The backup's tar file is cut off or damaged.",
        cause="It ends too early, or its compressed data does not match its checksum. What was "
        "unpacked so far is not usable.",
        next=("pgrescue verify BACKUP", "pgrescue catalog   for another backup"),
        unchanged=BACKUP_UNCHANGED,
    ),
    Rule(
        code="target_before_backup_ends",
        patterns=(
            r"The requested target time (?P<wanted>.+) is before the backup end time (?P<end>.+)",
        ),
        title="The backup is too new: it ends at {end}, the target is {wanted}.",
        cause="Barman refused before it wrote anything. A restore begins at a backup's end, and "
        "from there it only goes forwards.",
        levels=("OUTPUT",),
        next=("choose a backup that ended before the target: barman list-backups SERVER",),
        unchanged=BACKUP_UNCHANGED,
    ),
    Rule(
        code="pgbackrest_running",
        patterns=(r"\[038\]: unable to restore while PostgreSQL is running",),
        title="pgBackRest refused: a server is running on the directory, or left its pid file.",
        cause="Its hint to remove postmaster.pid is right only if no server works there.",
        evidence=(place("data"),),
        unchanged=BACKUP_UNCHANGED,
        next=("pgrescue doctor   tells whether one is running", "stop it by its service"),
    ),
    Rule(
        code="restore_directory_not_empty",
        patterns=(
            r"\[040\]: unable to restore to path '(?P<path>[^']+)' because it contains files",
            r"destination folder '(?P<path>[^']+)' is not empty",
        ),
        title="The directory to restore into is not empty: {path}.",
        cause="pgBackRest and Barman restore only into an empty one, unless told otherwise.",
        evidence=(place("path"),),
        next=(
            "do not empty it before it is known to be worthless: mv {path!q} {path!q}.old",
            "pgrescue plan   sets it aside and can put it back",
        ),
    ),
    Rule(
        code="no_backup_before_target",
        patterns=(
            r"\[075\]: unable to find backup set with stop time less than '(?P<target>[^']+)'",
            r"requested target time (?P<target>\S+ \S+) is before the backup end time",
        ),
        title="There is no backup from before {target}.",
        cause="A backup can only be rolled forward, to a moment after its own end.",
        next=("choose a later target, or an older backup: pgrescue catalog",),
    ),
)
