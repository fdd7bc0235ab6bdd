"""Recovery targets that were not met.

Texts: `recoveryStopsBefore`, `FinishWalRecovery` in `xlogrecovery.c` (12 to 14: `xlog.c`).
"""

from __future__ import annotations

from pgrescue.explain.course import still_waits
from pgrescue.explain.evidence import archived_segment, limits, named_setting, setting, targets
from pgrescue.explain.rule import Rule

TARGETS = (
    Rule(
        code="paused_at_target",
        patterns=(r"pausing at the end of recovery",),
        title="Recovery has reached its target and waits there.",
        cause="No failure: the server answers queries and changes nothing until it is told to go "
        "on.",
        levels=("LOG",),
        weight="note",
        holds=still_waits,
        next=(
            "look at the data; then: select pg_wal_replay_resume()   opens it for writing, for "
            "good",
            "pgrescue status   if this was a run of pgrescue",
        ),
    ),
    Rule(
        code="target_not_reached",
        patterns=(r"recovery ended before configured recovery target was reached",),
        title="Recovery came to the end of the WAL before its target{target}.",
        cause="The last commit it replayed was at {last_commit}; the next file it asked for was "
        "{asked}. Either the archive has a gap there, or the target lies behind the last commit "
        "(a time must not be later than that), or on another timeline, or it does not exist.",
        evidence=(archived_segment, targets, setting("recovery_target_timeline")),
        next=(
            "pgrescue timeline   shows up to which commit each backup can be recovered",
            "pgrescue plan --to latest   takes everything that the WAL has",
            "pgrescue plan --to TIME   refuses beforehand what cannot be reached, and names what "
            "can",
            "supply the missing WAL and {again}: recovery goes on where it was",
        ),
    ),
    Rule(
        code="target_before_consistency",
        patterns=(r"requested recovery stop point is before consistent recovery point",),
        title="The target lies before the backup's end.",
        cause="A backup can be stopped only after the WAL that was written while it was taken. On "
        "a directory that was replayed before, it means that the target is earlier than that.",
        evidence=(targets,),
        next=(
            "restore an earlier backup: pgrescue catalog, then pgrescue plan --to TIME (chooses "
            "it by itself)",
            "restore again rather than only changing the target: replay never goes back",
        ),
    ),
    Rule(
        code="paused_on_setting",
        patterns=(
            r"hot standby is not possible because of insufficient parameter settings",
            r"promotion is not possible because of insufficient parameter settings",
        ),
        detail=r"(?P<setting>\w+) = (?P<got>\d+) is a lower setting than on the primary server, "
        r"where its value was (?P<wanted>\d+)",
        title="Recovery waits before its target: {setting} is too low for what follows.",
        cause="The primary raised it to {wanted} within the WAL; here it is {got}. If recovery is "
        "told to go on now, the server shuts down.",
        levels=("WARNING",),
        evidence=(limits, named_setting),
        next=(
            "stop the server, set {setting} = {wanted} in {data!q}/postgresql.auto.conf, start "
            "it again",
            "do not call pg_wal_replay_resume() before",
        ),
    ),
)
