"""The steps of a re-seed in words; those that it shares with a restore are the restore's."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from pgrescue.backup.steps import gentle_wait
from pgrescue.plan.model import Seed, Work
from pgrescue.plan.sealed import Step, StepId
from pgrescue.plan.steps import shared_step
from pgrescue.postgres.service import Command


def reseed_steps(work: Work) -> tuple[Step, ...]:
    """The steps, in order."""
    steps = [shared_step("stop", work)]
    if work.moves:
        steps.append(shared_step("set_aside", work))
    steps.append(_receive(work))
    if work.seed is not None and work.seed.keeps_configuration:
        steps.append(_own_configuration(work))
    return (*steps, shared_step("complete", work), shared_step("start", work), _stream(work))


def receive_command(work: Work, seed: Seed) -> Command:
    """pg_basebackup, as the server's account."""
    return Command(seed.command, work.run_as)


def own_files_command(work: Work, aside: str, names: Sequence[str]) -> Command:
    """Copies them as the server's account, which can put nothing there that it may not read.

    Links stay links: what a certificate's link leads to is renewed there. Of a directory that is
    included, the source's settings go.
    """
    copy = (
        'cd "$1" && data=$2 && shift 2 && for f; do '
        'if test -d "$data/$f" && test ! -L "$data/$f"; then rm -f -- "$data/$f"/*.conf; fi; '
        'done && cp -dpR --parents -- "$@" "$data"/'
    )
    argv = ("/bin/sh", "-c", copy, "sh", aside, work.data_directory, *names)
    return Command(argv, work.run_as)


def _receive(work: Work) -> Step:
    seed = work.seed
    assert seed is not None
    checkpoint = (
        "It begins with a checkpoint there, at once."
        if seed.checkpoint == "fast"
        else f"It waits for a gentle checkpoint there, {gentle_wait(seed.checkpoint_bound)}."
    )
    return _step(
        "receive",
        "Copy the data from the source",
        f"pg_basebackup copies it while the source runs, and writes how to follow it. {checkpoint} "
        "pg_control is kept back until the end, so that half a copy cannot be started.",
        (
            *_make_slot(work, seed),
            str(receive_command(work, seed)),
            f"mv {shlex.quote(seed.place)}/* {shlex.quote(work.data_directory)}/",
        ),
        f"Fills {work.data_directory}"
        + "".join(f" and {item.destination}" for item in seed.tablespaces)
        + "; load on the source"
        + (f", and the replication slot {seed.creates_slot} there." if seed.creates_slot else "."),
        "Remove the new files; the old data is still aside."
        + (" Drop the slot." if seed.creates_slot else ""),
    )


def _make_slot(work: Work, seed: Seed) -> tuple[str, ...]:
    if seed.creates_slot is None:
        return ()
    query = f"select pg_create_physical_replication_slot('{seed.creates_slot}', true)"
    program = f"{work.bin_directory}/psql"
    command = (program, f"{seed.conninfo} dbname=postgres", "-c", query)
    return (str(Command(command, work.run_as)),)


def _own_configuration(work: Work) -> Step:
    seed = work.seed
    assert seed is not None
    aside = next(move.aside for move in work.moves if move.path == work.data_directory)
    names = " ".join(map(shlex.quote, seed.own_files))
    return _step(
        "own_configuration",
        "Keep this server's own configuration",
        "The copy brings the source's: its port, memory and paths. This machine's own files stay "
        "in force; only how to follow the source is new.",
        (str(own_files_command(work, aside, seed.own_files)),),
        f"Writes {names} and postgresql.auto.conf.",
        "Nothing to undo: the old files are aside.",
    )


def _stream(work: Work) -> Step:
    return _step(
        "stream",
        "See that it follows the source",
        "That it started is not enough: it must be the right cluster, in recovery, and receive "
        "WAL from the source.",
        (f'{work.bin_directory}/psql -c "select status, sender_host from pg_stat_wal_receiver"',),
        "Nothing.",
        "Nothing to undo.",
    )


def _step(
    step_id: StepId, title: str, why: str, lines: tuple[str, ...], changes: str, undo: str
) -> Step:
    return Step(step_id, title, why, lines, changes, undo, False, None)
