"""Filling a data directory from a live server, and seeing that it follows it."""

from __future__ import annotations

import os
import re
import shutil
import time
from pathlib import Path

import psycopg

from pgrescue.errors import StepFailed
from pgrescue.plan.model import Seed
from pgrescue.plan.work import log_of
from pgrescue.postgres.data_directory import AUTO_CONF
from pgrescue.postgres.postmaster import find_postmaster
from pgrescue.postgres.probe import Probe, is_listening
from pgrescue.reseed.own_settings import STOPS
from pgrescue.reseed.steps import own_files_command, receive_command
from pgrescue.run.deletion import make_anew, make_data_directory_anew
from pgrescue.run.execution import RestoreExecution
from pgrescue.run.executors.basebackup_watch import Watched, follow
from pgrescue.run.executors.configure import link_wal
from pgrescue.run.executors.extract import (
    move_in,
    settle_tablespace,
    tablespace_root,
)
from pgrescue.run.executors.rescue import copy_owned
from pgrescue.run.explained import server_failed, tool_failed
from pgrescue.run.ownership import read_owned
from pgrescue.run.records import Reached
from pgrescue.run.source_slot import make_slot

_OF_THE_PRIMARY = ("primary_conninfo", "primary_slot_name")
"""Settings that tell whom to follow: those that pg_basebackup wrote are the right ones."""
_COPY_SECONDS = 60.0
_OUR_NAME = re.compile(r" application_name=''[^']*''")
"""The name under which the copy was taken; the standby has one of its own (`cluster_name`)."""
_POLL_SECONDS = 0.3


def receive(execution: RestoreExecution) -> str:
    """Run pg_basebackup beside the data directory, then move what came into it."""
    work, seed = execution.work, _seed(execution)
    execution.make_directory(work.staging)
    make_anew(execution, seed.place)
    for item in seed.tablespaces:
        tablespace_root(execution, item)
        make_anew(execution, item.archive)
    make_slot(execution, seed)
    running = execution.programs.start(receive_command(work, seed))
    watched = Watched(
        place=seed.place,
        format="plain",
        owner=work.owner,
        conninfo=seed.conninfo,
        application=seed.application,
        major=work.major,
        checkpoint=seed.checkpoint,
        checkpoint_bound=seed.checkpoint_bound,
        estimated_bytes=seed.estimated_bytes,
    )
    try:
        taken, said = follow(execution, running, watched)
    except BaseException:
        running.end()
        raise
    completed = running.poll()
    assert completed is not None
    if completed.exit_code != 0:
        raise tool_failed(
            said or completed.output,
            completed.exit_code,
            program="pg_basebackup",
            next_steps=(f"then take it again: pgrescue resume {execution.directory.id}",),
        )
    _move_in(execution, seed)
    return f"{taken.done_bytes} bytes of files, WAL to {taken.stop_lsn}"


def _move_in(execution: RestoreExecution, seed: Seed) -> None:
    """Into the data directory, with a name of its own as a standby."""
    work = execution.work
    data = Path(work.data_directory)
    make_data_directory_anew(execution)
    move_in(execution, Path(seed.place))
    auto_conf = data / AUTO_CONF
    text = read_owned(auto_conf)
    execution.write_owned(auto_conf, _OUR_NAME.sub("", text))
    for item in seed.tablespaces:
        settle_tablespace(execution, data, item, Path(item.archive))
    if work.wal_link is not None:
        wal = data / "pg_wal"
        kept = data / "pg_wal.received"
        os.rename(wal, kept)
        link_wal(execution, data, work.wal_link)
        for entry in sorted(kept.iterdir()):
            if entry.is_file():
                # On another file system, as a rule: that is what the link is for.
                copy_owned(execution, entry, Path(work.wal_link, entry.name))
        shutil.rmtree(kept)


def own_configuration(execution: RestoreExecution) -> str:
    """Copy this server's own files over the source's; keep only whom to follow of those."""
    work, seed = execution.work, _seed(execution)
    data = Path(work.data_directory)
    aside = next(item.aside for item in execution.state().asides if item.path == str(data))
    kept = [name for name in seed.own_files if os.path.lexists(Path(aside, name))]
    if kept:
        completed = execution.programs.run(own_files_command(work, aside, kept), _COPY_SECONDS)
        if completed.exit_code != 0:
            raise StepFailed(
                "This server's own configuration could not be copied.",
                completed.output,
                unchanged=f"It is at {aside}.",
                next_steps=(
                    f"mend it, then: pgrescue resume {execution.directory.id}",
                    f"pgrescue undo {execution.directory.id}",
                ),
            )
    own = [line for line in _lines(Path(aside, AUTO_CONF)) if not _is_replaced(line)]
    following = [line for line in _lines(data / AUTO_CONF) if _name(line) in _OF_THE_PRIMARY]
    execution.write_owned(data / AUTO_CONF, "\n".join([*own, *following, ""]))
    return ", ".join(kept) or "there was none"


def _lines(path: Path) -> list[str]:
    return read_owned(path).splitlines()


def _is_replaced(line: str) -> bool:
    """Whom to follow is new; where a recovery ended is over."""
    return _name(line) in _OF_THE_PRIMARY or _name(line).startswith(STOPS)


def _name(line: str) -> str:
    return line.partition("=")[0].strip()


def stream(execution: RestoreExecution) -> str:
    """Until the standby receives WAL from the source; raises `StepFailed` if it goes down."""
    work = execution.work
    data = Path(work.data_directory)
    deadline = time.monotonic() + work.start_timeout
    while True:
        for running in execution.background:
            running.poll()
        postmaster = find_postmaster(data)
        if postmaster is None:
            raise server_failed(execution, "The standby went down.")
        if is_listening(postmaster):
            probe = Probe(postmaster, work.owner, work.conninfo)
            try:
                found = probe.receiving()
                identifier = probe.system_identifier()
            except psycopg.Error:
                found = None
            else:
                _check_identity(execution, identifier)
            if found is not None and found.streaming:
                execution.journal.append(
                    Reached(lsn=found.received, time=None, xid=None, timeline=found.timeline)
                )
                return f"it follows {found.sender} on timeline {found.timeline}"
            position = found.received if found is not None else None
            execution.progress(0, None, "waiting until it streams", lsn=position)
        if time.monotonic() > deadline:
            raise StepFailed(
                "The standby runs, but receives no WAL.",
                f"Within {work.start_timeout:.0f} s it did not begin to stream from the source.",
                unchanged="It is a complete copy.",
                next_steps=(
                    f"look into {log_of(work)}: 'could not connect to the primary'?",
                    f"mend it, then: pgrescue resume {execution.directory.id}",
                    f"pgrescue undo {execution.directory.id}",
                ),
            )
        execution.wait(_POLL_SECONDS)


def _check_identity(execution: RestoreExecution, identifier: str) -> None:
    if identifier != execution.work.system_identifier:
        raise StepFailed(
            "The server that answers is another one.",
            f"Its system identifier is {identifier}, the source's "
            f"{execution.work.system_identifier}.",
        )


def _seed(execution: RestoreExecution) -> Seed:
    seed = execution.work.seed
    assert seed is not None
    return seed
