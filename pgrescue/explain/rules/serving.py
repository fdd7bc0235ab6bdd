"""What looks like a failure while a server recovers, is paused, or has opened, and often is none.

Texts: `src/backend/postmaster/postmaster.c`, `src/backend/tcop/postgres.c`, `dbcommands.c`.
"""

from __future__ import annotations

from pgrescue.explain.course import while_paused
from pgrescue.explain.evidence import setting
from pgrescue.explain.rule import RECOVERY_UNCHANGED, Rule

SERVING = (
    Rule(
        code="snapshot_not_ready",
        patterns=(),
        only_with_detail=(
            r"the database system is (?:starting up|in recovery mode|not (?:yet )?accepting "
            r"connections)",
        ),
        detail=r"Recovery snapshot is not yet ready for hot standby",
        title="Somebody tried to connect; recovery cannot let anybody in yet.",
        cause="Its data is consistent, but transactions with more than 64 subtransactions were "
        "open at that point of the WAL. Until the WAL has their end, a pause at the target does "
        "not hold either: the server would open for writing there.",
        weight="note",
        next=(
            "pgrescue status",
            "if you want to look before it is promoted: take an earlier target, in a clone: "
            "pgrescue plan --into DIR",
        ),
    ),
    Rule(
        code="still_recovering",
        patterns=(
            r"the database system is (?:starting up|in recovery mode|not (?:yet )?accepting "
            r"connections)",
        ),
        detail=r"(?P<why>.*)",
        title="Somebody tried to connect while the server was still recovering.",
        cause="No failure: it lets nobody in before its data is consistent. {why}",
        weight="note",
        next=(
            "pgrescue status",
            "wait; recovery's process title says which segment it replays: ps -ef | grep startup",
        ),
    ),
    Rule(
        code="locked_at_the_target",
        patterns=(r"canceling statement due to lock timeout",),
        title="A query waited for a lock that paused recovery holds.",
        cause="Recovery stopped just before a transaction committed that had locked the table (a "
        "DROP, a TRUNCATE). Its lock stays until recovery goes on.",
        weight="note",
        next=(
            "look at the table in a clone that is promoted: pgrescue plan --into DIR --action "
            "promote",
        ),
        holds=while_paused,
    ),
    Rule(
        code="recovery_conflict",
        patterns=(
            r"terminating connection due to conflict with recovery",
            r"canceling statement due to conflict with recovery",
        ),
        title="A query on the standby was ended, because replay needed what it held.",
        cause="No damage: max_standby_archive_delay ran out.",
        weight="note",
        next=("run it again",),
    ),
    Rule(
        code="useless_files",
        patterns=(
            r'could not open directory "base/\d+": No such file or directory',
            r"some useless files may be left behind in old database directory",
        ),
        title="A DROP DATABASE was replayed a second time.",
        cause="Harmless: recovery was restarted after the files had gone.",
        weight="note",
        levels=("WARNING",),
        next=("nothing to do",),
    ),
    Rule(
        code="slow_promotion",
        patterns=(r"server did not promote within (?P<seconds>\d+) seconds",),
        title="The server did not promote within {seconds} seconds.",
        cause="A checkpoint takes its time; or recovery is paused at its target, where PostgreSQL "
        "12 does not react to a promotion.",
        weight="note",
        evidence=(setting("recovery_target_action"),),
        next=(
            "select pg_is_in_recovery(), pg_is_wal_replay_paused()",
            "on 12: select pg_wal_replay_resume()",
        ),
    ),
    Rule(
        code="startup_process_failed",
        patterns=(
            r"startup process \(PID \d+\) exited with exit code (?P<code>\d+)",
            r"shutting down due to startup process failure",
            r"aborting startup due to startup process failure",
        ),
        title="The server went down because recovery failed.",
        cause="The message before it says why.",
        unchanged=RECOVERY_UNCHANGED,
        weight="consequence",
        levels=("LOG",),
        next=("pgrescue status",),
    ),
    Rule(
        code="no_server",
        patterns=(
            r"psql: error: connection to server .*failed: (?:No such file|Connection refused)",
        ),
        title="No server answers there.",
        cause="It does not run, has not opened yet, or has another port or socket directory.",
        weight="consequence",
        levels=("OUTPUT",),
        next=("pgrescue explain SERVER_LOG", "pgrescue doctor"),
    ),
    Rule(
        code="not_started",
        patterns=(
            r"pg_ctl: could not start server",
            r"pg_ctl: server did not start in time",
            r"Examine the log output",
        ),
        title="pg_ctl could not start the server.",
        cause="The server's own log says why.",
        weight="consequence",
        next=("pgrescue explain SERVER_LOG",),
    ),
)
