"""The archive and the command that fetches WAL from it.

Texts: `src/backend/access/transam/xlogarchive.c`, `src/common/archive.c`, `pgarch.c`,
`shell_archive.c`.
"""

from __future__ import annotations

from pgrescue.explain.course import cut_recovery_short
from pgrescue.explain.evidence import archived_segment, place, setting
from pgrescue.explain.rule import BACKUP_UNCHANGED, GOES_ON, Rule

CUT_OFF = (
    r"(?:tar: )?Unexpected EOF in archive",
    r"gzip: (?P<path>.*?): unexpected end of file",
    r"gzip: (?P<path>.*?): invalid compressed data",
    r"tar: Skipping to next header",
    r"tar: Error is not recoverable",
    r"EOFError: Compressed file ended before the end-of-stream marker",
    r"tarfile\.ReadError: unexpected end of data",
    r"Error \d+ : Unfinished stream",
    r"(?:zstd?|lz4).*(?:premature end|unfinished|Decoding error|checksum)",
)
"""How those say it who unpack a file that is cut off or damaged."""
_FILE = r'"(?P<file>[^"]+)"'
_TRY = (
    "see what it prints, as the server's account: sudo -u {account!q} sh -c "
    "'cd {data} && RESTORE_COMMAND'   (with %f = {file} and %p = a scratch file)"
)

ARCHIVE = (
    Rule(
        code="restore_command_not_executable",
        patterns=(
            rf"could not restore file {_FILE} from archive: (?P<why>command not found"
            r"|command not executable)",
        ),
        title="The restore_command could not be run: {why}.",
        cause="The shell did not find the program that restore_command names, or may not execute "
        "it. Recovery stops here on purpose, so that it is not taken for the end of the archive.",
        evidence=(setting("restore_command"),),
        next=(
            "check the program's path and its permissions for the server's account",
            _TRY,
            "{again}" + GOES_ON,
        ),
    ),
    Rule(
        code="restore_command_failed",
        patterns=(
            rf"could not restore file {_FILE} from archive: (?P<why>child process .*|.*)",
            r"restore_command failed with (?P<why>.*)",
        ),
        title="The restore_command failed while it fetched {file}.",
        cause="It ended with: {why}. An exit code above 125, or a signal, tells the server that "
        "something is wrong rather than that the file is not there; recovery stops.",
        evidence=(archived_segment, setting("restore_command")),
        levels=("FATAL",),
        next=(
            _TRY,
            "once it works, {again}" + GOES_ON,
        ),
    ),
    Rule(
        code="archived_file_wrong_size",
        patterns=(
            rf"archive file {_FILE} has wrong size: (?P<got>\d+) instead of (?P<wanted>\d+)",
            rf"archive file {_FILE} has wrong size: (?P<got>\d+)",
        ),
        title="The archived file {file} has {got} bytes instead of {wanted}.",
        cause="It is compressed and the restore_command does not decompress it, or it was cut off "
        "while it was copied, or the archive belongs to a cluster with another "
        "wal_segment_size.",
        evidence=(archived_segment, setting("restore_command")),
        next=(
            "pgrescue timeline   names every file of the archive that is not whole",
            "look at the file: ls -l {archive!q}/{file}* && file {archive!q}/{file}*",
            "if it is compressed: let a new plan write the restore_command, which decompresses: "
            "pgrescue plan",
            "if it is cut off: fetch another copy of it (the old server's pg_wal, a standby), or "
            "choose a target before it",
        ),
    ),
    Rule(
        code="restore_command_wrote_nothing",
        patterns=(r'could not stat file "(?P<path>[^"]*RECOVERY(?:XLOG|HISTORY))"',),
        detail=r"restore_command returned (?P<why>a zero exit status)",
        title="The restore_command says it succeeded, but wrote no file.",
        cause="It copies to another place than the one it is given: %p must be the destination, "
        "%f is only the name.",
        evidence=(setting("restore_command"),),
        next=(
            "let a new plan write the restore_command: pgrescue plan",
            "or correct it: 'cp ARCHIVE/%f %p', and {again}",
        ),
    ),
    Rule(
        code="archive_out_of_reach",
        patterns=(
            r"(?:cp|cat|gunzip|gzip|zstd|lz4|scp|rsync|ssh|aws|curl)\b.*: "
            r"(?P<why>Permission denied|Connection (?:refused|timed out|reset by peer)"
            r"|Could not resolve host.*|Transport endpoint is not connected|Stale file handle"
            r"|Input/output error|No route to host|Host key verification failed\.?)",
            r"(?:scp|rsync|ssh|aws|curl)\b.*(?P<why>Connection (?:refused|timed out)"
            r"|Could not resolve host.*|Permission denied.*)",
            # The command line of AWS; 404 is how it says that there is no such file.
            r"(?P<why>An error occurred \((?:[45]\d\d(?<!404)|[A-Z]\w+(?<!NoSuchKey))\) when .*)",
            r"(?P<why>Unable to locate credentials.*|Could not connect to the endpoint URL.*)",
            # pgBackRest: that there is no such file is none of its errors; some are a restore's.
            r"ERROR: \[(?!038|040|075)\d{3}\]: (?P<why>.*)",
        ),
        title="The restore_command could not read the archive: {why}.",
        cause="A file that may well be there could not be fetched. If the command then ends with "
        "an exit code below 126, the server takes it for the end of the archive.",
        evidence=(place("archive"), setting("restore_command")),
        levels=("OUTPUT",),
        beside_server=True,
        holds=cut_recovery_short,
        wrong_end=True,
        next=(
            "try it as the server's account: sudo -u {account!q} ls {archive!q}",
            "mend the mount, the network or the permissions, then restore again: what was "
            "replayed after such an error may have ended too early",
        ),
    ),
    Rule(
        code="archived_copy_damaged",
        patterns=CUT_OFF,
        title="The archive's copy of {file} is cut off or damaged.",
        cause="The restore_command could not unpack it, which the server takes for the end of the "
        "archive.",
        evidence=(archived_segment, setting("restore_command")),
        levels=("OUTPUT",),
        beside_server=True,
        holds=cut_recovery_short,
        wrong_end=True,
        next=(
            "pgrescue timeline   names every file of the archive that is not whole",
            "look for another copy of that segment: the old server's pg_wal, a standby, a second "
            "archive",
            "or stop before it: pgrescue timeline shows up to where the WAL is sound",
        ),
    ),
    Rule(
        code="archiving_fails",
        patterns=(
            r"archive command failed with exit code (?P<why>\d+)",
            r"archive command was terminated by (?P<why>.*)",
            r'archiving write-ahead log file "(?P<file>[^"]+)" failed too many times',
        ),
        detail=r"The failed archive command was: (?P<command>.*)",
        title="The server cannot archive its WAL.",
        cause="Its archive_command fails. Until it works, pg_wal grows, and nothing that is "
        "committed now can be recovered from the archive. After a promotion a common reason is "
        "that the command refuses to overwrite the files of the original cluster, as it should.",
        evidence=(archived_segment, setting("archive_command")),
        unchanged="The server keeps every segment that it could not archive.",
        next=(
            "pgrescue doctor --test-archiving",
            "on a clone: give it an archive of its own, or archive_mode = off",
            "pgrescue init --archive   proposes a command that is durable and never overwrites",
        ),
    ),
    Rule(
        code="waits_for_archiving",
        patterns=(
            r"still waiting for all required WAL segments to be archived",
            r"base backup done, waiting for required WAL segments to be archived",
        ),
        title="The backup waits until its WAL is archived.",
        cause="The archiver is behind or fails; the backup ends only when the last segment it "
        "needs has arrived.",
        levels=("WARNING", "NOTICE"),
        evidence=(setting("archive_command"),),
        unchanged=BACKUP_UNCHANGED,
        next=(
            "select last_failed_wal, last_failed_time from pg_stat_archiver",
            "pgrescue doctor --test-archiving",
        ),
    ),
)
