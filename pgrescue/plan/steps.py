"""The steps of a restore in words: what, why, what it changes, how it is undone."""

from __future__ import annotations

from collections.abc import Callable

from pgrescue.plan import commands
from pgrescue.plan.model import Work
from pgrescue.plan.sealed import Step, StepId
from pgrescue.plan.settings import RECOVERY_WHY
from pgrescue.plan.target import Target
from pgrescue.plan.work import held_directory, tail_directory, undo_does

_NOTHING = "Nothing."
_BEFORE_THE_STOP = (
    " WAL that the archive lacks gets a second name before: the stop's checkpoint may remove it."
)


def restore_steps(work: Work, target: Target, *, standby: bool) -> tuple[Step, ...]:
    """The steps of this restore, in order."""
    why = RECOVERY_WHY.format(target=target)
    ids: list[StepId] = []
    if work.stop_service:
        ids.append("stop")
    if work.rescues:
        ids.append("rescue_wal")
    if work.moves:
        ids.append("set_aside")
    ids.append("extract")
    if len(work.chain) > 1:
        ids.append("combine")
    ids += ["place_wal", "configure", "complete", "start", "replay", "verify"]
    if not standby and target.end != "shutdown":
        if target.end == "pause":
            ids.append("promote")
        ids.append("tidy")
    if work.old_data == "delete" and work.moves:
        ids.append("delete_old")
    return tuple(
        _configure(work, why) if step_id == "configure" else _BUILDERS[step_id](work)
        for step_id in ids
    )


def shared_step(step_id: StepId, work: Work) -> Step:
    """A step that other plans take as a restore does."""
    return _BUILDERS[step_id](work)


def _step(
    step_id: StepId,
    title: str,
    why: str,
    lines: tuple[str, ...],
    changes: str,
    undo: str,
    *,
    destructive: bool = False,
) -> Step:
    return Step(step_id, title, why, lines, changes, undo, destructive, None)


def _stop(work: Work) -> Step:
    return _step(
        "stop",
        "Stop the server and see that it is down",
        "Files must not change while they are replaced. A clean stop also hands the last WAL to "
        "the archive." + (_BEFORE_THE_STOP if work.removable_wal else ""),
        commands.stop(work),
        "The server goes down; clients are disconnected."
        + (f" Links segments into {held_directory(work)}." if work.removable_wal else ""),
        "Start it again with its service.",
    )


def _rescue_wal(work: Work) -> Step:
    return _step(
        "rescue_wal",
        "Rescue WAL that the archive lacks",
        "The last segments may never have reached the archive. Without them the newest commits "
        "are lost.",
        commands.rescue_wal(work),
        f"Copies segments to {tail_directory(work)}; the originals stay where they are.",
        "Remove the copies.",
    )


def _set_aside(work: Work) -> Step:
    names = ", ".join(move.aside for move in work.moves)
    return _step(
        "set_aside",
        "Set the old data aside",
        "The old cluster may be the last good copy: it is renamed, not deleted, and can be put "
        "back.",
        commands.set_aside(work),
        f"Renames the old data to {names}.",
        "Rename it back: pgrescue undo.",
    )


def _still_aside(work: Work) -> str:
    return "; the old data is still aside" if work.replaces else ""


def _extract(work: Work) -> Step:
    if len(work.chain) > 1:
        return _extract_chain(work)
    what = "every file is checked against the backup's manifest while it is written"
    if not work.chain[-1].has_manifest:
        what = "the backup has no manifest, so only the archive's own checksums can be checked"
    return _step(
        "extract",
        f"Extract backup {work.chain[-1].id}",
        f"The base backup is what recovery starts from; {what}. pg_control is left out until the "
        "end, so that a half-restored directory cannot be started.",
        commands.extract(work),
        f"Fills {work.data_directory}"
        + "".join(f" and {item.destination}" for item in work.chain[-1].tablespaces)
        + ".",
        f"Remove the new files{_still_aside(work)}.",
    )


def _extract_chain(work: Work) -> Step:
    return _step(
        "extract",
        f"Unpack the {len(work.chain)} backups of the chain",
        "pg_combinebackup reads directories, so tar members are unpacked first, each file checked "
        "against its manifest; plain members are read where they lie.",
        commands.extract(work),
        f"Fills {work.staging}.",
        f"Remove {work.staging}{_still_aside(work)}.",
    )


def _combine(work: Work) -> Step:
    return _step(
        "combine",
        "Combine the incremental chain",
        "An incremental backup holds only changed blocks; pg_combinebackup makes a full data "
        "directory of the chain. It writes beside the right place, where no server can start, so "
        "that half of it cannot be taken for the cluster.",
        commands.combine(work),
        f"Fills {work.data_directory}.",
        f"Remove the new files{_still_aside(work)}.",
    )


def _place_wal(work: Work) -> Step:
    return _step(
        "place_wal",
        "Place the backup's own WAL beside the data directory",
        "Recovery needs the WAL written during the backup. It is served by a small script that "
        "also looks into the archive and the rescued WAL.",
        commands.place_wal(work),
        f"Fills {work.staging}.",
        f"Remove {work.staging}.",
    )


def _configure(work: Work, why: str) -> Step:
    return _step(
        "configure",
        f"Write {work.signal_file} and the recovery settings",
        "They tell the server to recover, from where to fetch WAL, and where to stop. They win "
        "over whatever the backup's configuration holds.",
        commands.configure(work, why),
        f"Writes {work.signal_file} and a block in postgresql.auto.conf.",
        "Remove the block and the file.",
    )


def _complete(work: Work) -> Step:
    return _step(
        "complete",
        "Put pg_control in place and sync to disk",
        "From here on the directory can be started; nothing of it may be only in memory.",
        commands.complete(work),
        "Writes global/pg_control; owner and modes as PostgreSQL demands.",
        "Remove global/pg_control.",
    )


def _start(work: Work) -> Step:
    return _step(
        "start",
        "Start the server",
        "The server finds the signal file and begins to recover.",
        commands.start(work),
        "The server runs; it is read-only until recovery has ended.",
        "Stop it with its service.",
    )


def _replay(work: Work) -> Step:
    action = work.settings["recovery_target_action"]
    end = {
        "pause": "At the target it pauses, open for read-only queries.",
        "promote": "At the end it opens for writing on a new timeline.",
        "shutdown": "At the target it shuts down.",
    }[action]
    if work.signal_file == "standby.signal":
        end = "It stays a standby."
    return _step(
        "replay",
        "Watch the WAL being replayed",
        f"Recovery repeats every change up to the target. {end}",
        commands.replay(work),
        "The restored data directory moves on to the target.",
        "An earlier target needs a new restore; a later one only another start.",
    )


def _verify(work: Work) -> Step:
    return _step(
        "verify",
        "Check the restored server",
        "That it started is not enough: it must answer, be the right cluster, and have stopped "
        "where it should.",
        commands.verify(work),
        _NOTHING,
        "Nothing to undo.",
    )


def _promote(work: Work) -> Step:
    return _step(
        "promote",
        "Promote, when you have looked around and say so",
        "Recovery is paused so that you can check the data first. Once promoted, the server "
        "writes on a new timeline and cannot go on to a later target.",
        commands.promote(work),
        "Opens the server for writing on a new timeline.",
        f"pgrescue undo {undo_does(replaces=work.replaces)}; what was written since is then set "
        "aside.",
    )


def _tidy(work: Work) -> Step:
    return _step(
        "tidy",
        "Take the recovery settings out again",
        "Left behind, they would travel in the next backup and mislead the next recovery.",
        commands.tidy(work),
        "Removes the block from postgresql.auto.conf.",
        "Nothing to undo: the settings have no effect any more.",
    )


def _delete_old(work: Work) -> Step:
    return _step(
        "delete_old",
        "Delete the old data",
        "It was asked for with --old-data delete. After this there is no way back.",
        commands.delete_old(work),
        "Deletes " + ", ".join(move.aside for move in work.moves) + ".",
        "Cannot be undone.",
        destructive=True,
    )


_BUILDERS: dict[StepId, Callable[[Work], Step]] = {
    "stop": _stop,
    "rescue_wal": _rescue_wal,
    "set_aside": _set_aside,
    "extract": _extract,
    "combine": _combine,
    "place_wal": _place_wal,
    "complete": _complete,
    "start": _start,
    "replay": _replay,
    "verify": _verify,
    "promote": _promote,
    "tidy": _tidy,
    "delete_old": _delete_old,
}
