"""What speaks against a restore is found beforehand, each by itself; from hand-made facts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from pgrescue.catalog.model import BackupTablespace, Problem
from pgrescue.errors import Refused
from pgrescue.findings import Finding
from pgrescue.plan.command_trial import Attempt, Trial
from pgrescue.plan.facts import (
    ClusterFacts,
    Facts,
    ForeignService,
    Links,
    Manager,
    Programs,
    TablespaceFacts,
    UnfinishedRun,
)
from pgrescue.plan.foretold import Foretold, Unreachable
from pgrescue.plan.model import Stop, Transaction, WalTail
from pgrescue.plan.surroundings import Neighbour, Surroundings
from pgrescue.plan.target import TargetOptions
from pgrescue.postgres.account import Account
from pgrescue.postgres.history_file import parse_history_file
from pgrescue.postgres.lsn import Lsn
from pgrescue.postgres.postmaster import Postmaster
from pgrescue.postgres.service import ServiceSpec
from tests.support.backup_facts import NOW, SYSTEM, directory, path
from tests.support.restore_facts import (
    CLONE,
    CONTROL,
    DATA,
    archive,
    backup,
    cluster,
    details,
    facts,
    findings,
    plan_of,
    reach,
)

TWO = (BackupTablespace(16400, "/srv/fast", 1), BackupTablespace(16401, "/srv/slow", 1))
FORK = {2: parse_history_file(2, "1\t0/2000100\tbefore the backup's end\n")}
COMMIT = Transaction(750, NOW, Lsn(0x3000000))
SEGMENT = "000000010000000000000006"


def with_tablespaces(*destinations: str, **changes: Any) -> Facts:  # noqa: ANN401
    """A clone whose tablespaces go to these places."""
    archives = {16400: "16400.tar", 16401: "16401.tar"}
    own = backup(tablespaces=TWO, details=details(tablespace_archives=archives))
    places = {16400: path(destinations[0]), 16401: path(destinations[-1])}
    if len(destinations) == 1:
        places[16401] = path("/srv/pg/other")
    return facts(CLONE, backup=own, tablespace_destinations=places, **changes)


SERVER = Postmaster(10, DATA, 5432, None, None, "ready")


def with_tablespace(*, is_link: bool = False) -> ClusterFacts:
    """The cluster with a tablespace of its own."""
    version = directory("/srv/fast/PG_17_202406281", is_empty=False)
    item = TablespaceFacts(16400, "/srv/fast", "/srv/fast", version, is_link)
    return cluster(links=Links((item,), None, None, SYSTEM))


def near(neighbour: Neighbour) -> Facts:
    """Facts of a restore in place, with another data directory somewhere."""
    return facts(surroundings=Surroundings(neighbours=(neighbour,)))


def foretold(**changes: Any) -> Foretold:  # noqa: ANN401 - any field of Foretold
    """All of the WAL can be replayed, and a commit is in it."""
    stop = Stop(
        "end_of_wal", None, None, None, None, 1, last_kept=COMMIT, replayed_to=Lsn(0x6000000)
    )
    usual = Foretold(stop, None, (), None, Lsn(0x6000000), "", "0" * 24, False)
    return replace(usual, **changes)


@dataclass(frozen=True)
class Case:
    """Facts, what is asked for, and the one finding that must come of it."""

    code: str
    of: Facts
    said: str
    options: TargetOptions | None = None
    service: ServiceSpec | None = None
    request: dict[str, Any] = field(default_factory=dict)
    status: str = "blocker"

    def found(self) -> Finding | None:
        """What the plan says under this code."""
        return findings(self.of, self.options, self.service, **self.request).get(self.code)


INTO = {"into": CLONE}
MAPPED = {"into": CLONE, "tablespaces": {"/srv/fast": "/srv/new", "/srv/slow": "/srv/new"}}
INSIDE = {"into": CLONE, "tablespaces": {"/srv/fast": f"{CLONE}/fast"}}
CASES = [
    Case(
        "backup.truncated",
        facts(backup=backup(problems=(Problem("truncated", "It ends too early."),))),
        "ends too early",
    ),
    Case(
        "backup.version",
        facts(CLONE, backup=backup(server_version=None)),
        "does not show its PostgreSQL version",
        request=INTO,
    ),
    Case(
        "tablespace.shared",
        with_tablespaces("/srv/new", "/srv/new"),
        "shares its directory",
        request=MAPPED,
    ),
    Case(
        "tablespace.inside_data",
        with_tablespaces(f"{CLONE}/fast"),
        "inside the data directory",
        request=INSIDE,
    ),
    Case(
        "tablespace.not_empty",
        replace(
            with_tablespaces("/srv/new"),
            tablespace_destinations={
                16400: directory("/srv/new", is_empty=False),
                16401: path("/srv/pg/other"),
            },
        ),
        "is not empty",
        request={"into": CLONE, "tablespaces": {"/srv/fast": "/srv/new"}},
    ),
    Case(
        "tablespace.path",
        facts(
            backup=backup(
                tablespaces=(BackupTablespace(16400, "../keys", 1),),
                details=details(tablespace_archives={16400: "16400.tar"}),
            ),
            tablespace_destinations={16400: path("../keys")},
        ),
        "is no absolute path",
    ),
    Case(
        "backup.chain",
        facts(
            chain=(backup(), backup()),
            destination=directory(DATA, is_mount_point=True, is_empty=False),
            cluster=cluster(directory=directory(DATA, is_mount_point=True, is_empty=False)),
        ),
        "no place to combine a chain",
    ),
    Case(
        "backup.unreadable",
        facts(unreadable=("/srv/backups/plain",)),
        "cannot be read by postgres, as whom pg_combinebackup runs",
    ),
    Case(
        "backup.leftover_settings",
        facts(
            backup=backup(
                details=details(
                    configuration={"postgresql.auto.conf": "recovery_target_name = 'x'\n"}
                )
            )
        ),
        "recovery_target_name = 'x'",
        status="warning",
    ),
    Case(
        "backup.limits",
        facts(backup=backup(details=details(control=None))),
        "could not be read",
        status="warning",
    ),
    Case(
        "cluster.run",
        facts(unfinished=(UnfinishedRun("20261122-203512-abcd", "running"),)),
        "20261122-203512-abcd is at work",
    ),
    Case(
        "cluster.run",
        facts(unfinished=(UnfinishedRun("20261122-203512-abcd", "failed"),)),
        "on this directory is failed",
        status="warning",
    ),
    Case(
        "cluster.service",
        facts(
            cluster=cluster(
                foreign_service=ForeignService("It is the server's on /srv/other", True)
            )
        ),
        "It is the server's on /srv/other",
    ),
    Case(
        "cluster.service",
        facts(
            cluster=cluster(
                foreign_service=ForeignService("It is the server's on /srv/other", False)
            )
        ),
        "stopped and started instead",
        status="warning",
    ),
    Case(
        "cluster.service",
        facts(cluster=cluster(supervising_unit="postgresql@17-main")),
        "systemd runs the server as postgresql@17-main",
        status="warning",
    ),
    Case(
        "cluster.server",
        facts(cluster=cluster(postmaster=Postmaster(1, DATA, 5432, None, None, "ready"))),
        "process 1 of this container",
    ),
    Case(
        "cluster.manager",
        facts(),
        "is that of a cluster manager",
        service=ServiceSpec("systemd", unit="patroni"),
    ),
    Case(
        "clone.directory",
        replace(facts(DATA), cluster=cluster(directory=path(DATA), control=None, pg_version=None)),
        "is the cluster's own",
        request={"into": DATA},
    ),
    Case(
        "cluster.shared",
        facts(
            "/srv/fast/clone",
            surroundings=Surroundings(
                neighbours=(Neighbour("/srv/pg/other", False, ("/srv/fast",)),)
            ),
        ),
        "is in what the cluster in /srv/pg/other uses",
        request={"into": "/srv/fast/clone"},
    ),
    Case(
        "cluster.directory",
        facts(
            cluster=cluster(
                directory=directory(DATA, is_empty=False), pg_version=None, control=None
            ),
            unfinished=(UnfinishedRun("20261122-203512-abcd", "aborted", True),),
        ),
        "holds what the run 20261122-203512-abcd has begun to put there",
    ),
    Case(
        "cluster.directory",
        facts(
            cluster=cluster(
                directory=path(DATA, exists=True, is_empty=False), pg_version=None, control=None
            )
        ),
        "is no directory",
    ),
    Case(
        "wal.archive",
        facts(archive=archive(listed=False, problem="Permission denied", owner_can_read=None)),
        "cannot be read: Permission denied",
    ),
    Case(
        "wal.archive",
        facts(archive=archive(owner_can_read=False)),
        "cannot be read by postgres",
    ),
    Case(
        "wal.programs", facts(archive=archive(missing_programs=("zstd",))), "zstd is not installed"
    ),
    Case(
        "wal.missing",
        facts(
            backup=backup(details=details(wal_inside="none", wal_archive=None)),
            reach=reach(end=None, missing="000000010000000000000002"),
        ),
        "lacks 000000010000000000000002",
    ),
    Case(
        "wal.fork_missing",
        facts(reach=reach(missing="000000020000000000000006", fork_missing=True)),
        "silently go on in the wrong history",
    ),
    Case(
        "wal.gap",
        facts(reach=reach(resumes_at="000000010000000000000008")),
        "is there again",
        status="warning",
    ),
    Case(
        "wal.restore_command",
        facts(
            trial=Trial(
                "exit 1 # %f %p",
                "postgres",
                (Attempt(SEGMENT, "not_there", 1, 0.0, "no route to host"),),
                None,
            )
        ),
        "no route to host",
    ),
    Case(
        "wal.tail",
        facts(wal_tail=WalTail((SEGMENT,), 3, 1.5, NOW)),
        "3 commits of 1.5 seconds would be lost",
        status="ok",
    ),
    Case(
        "wal.tail_unreadable",
        facts(unreadable_wal={f"{DATA}/pg_wal/{SEGMENT}": "Input/output error"}),
        "cannot be read: Input/output error",
    ),
    Case("target.stop", facts(foretold=foretold()), "750", status="ok"),
    Case(
        "wal.damaged",
        facts(foretold=foretold(end_reason="a record's CRC is wrong", is_damage=True)),
        "The WAL is damaged in",
        status="warning",
    ),
    Case(
        "trap.locked",
        facts(foretold=foretold(traps=(Finding("trap.locked", "warning", "It would be locked."),))),
        "would be locked",
        status="warning",
    ),
    Case(
        "target.timeline",
        facts(reach=reach(timeline=7)),
        "Timeline 7 has no history file",
        TargetOptions(timeline="7"),
    ),
    Case(
        "target.timeline",
        facts(reach=reach(timeline=2), archive=archive(histories=FORK)),
        "does not continue backup",
        TargetOptions(timeline="2"),
    ),
    Case(
        "target.future",
        facts(),
        "lies in the future",
        TargetOptions(to=(NOW + timedelta(hours=1)).isoformat()),
    ),
    Case("target.xid", facts(), "Transaction 1000 never was", TargetOptions(to_xid="1000")),
    Case(
        "target.xid",
        facts(),
        "is not looked up beforehand",
        TargetOptions(to_xid="999"),
        status="warning",
    ),
    Case(
        "target.action",
        facts(),
        "nothing to pause at",
        TargetOptions(action="pause"),
        status="warning",
    ),
    Case(
        "target.position",
        facts(),
        "known only to the WAL",
        TargetOptions(to_name="x"),
        status="warning",
    ),
    Case(
        "target.version_12",
        facts(backup=backup(server_version="12"), cluster=cluster(pg_version=12)),
        "PostgreSQL 12 opens",
        TargetOptions(to_name="x"),
        status="warning",
    ),
    Case(
        "host.name",
        facts(f"/srv/{'n' * 255}"),
        "at most 255 bytes",
        request={"into": f"/srv/{'n' * 255}"},
    ),
    Case(
        "host.name",
        facts("/srv" + f"/{'d' * 200}" * 5),
        "is too long",
        request={"into": "/srv" + f"/{'d' * 200}" * 5},
    ),
    Case(
        "host.password",
        facts(archive=archive(path=None, listed=False, restore_command="PGPASSWORD=x cp %f %p")),
        "looks like a password",
        status="warning",
    ),
    Case(
        "host.programs",
        facts(programs=Programs(None, None, "PostgreSQL 17 is not installed on this machine.")),
        "is not installed",
    ),
    Case(
        "host.privileges",
        facts(host=replace(facts().host, is_root=False)),
        "may not stop and start the unit",
        service=ServiceSpec("systemd", unit="postgresql@17-main"),
    ),
    Case(
        "host.privileges",
        facts(cluster=cluster(owner=Account(0, 0, "root", "/root"))),
        "refuses to run as root",
    ),
    Case(
        "host.privileges",
        facts(CLONE, destination=path(CLONE, parent_writable=False)),
        "its parent directory is not writable",
        request=INTO,
    ),
    Case(
        "host.inodes",
        facts(
            filesystems={
                DATA: replace(facts().filesystems[DATA], free_inodes=3),
            }
        ),
        "3 free inodes",
    ),
]
MORE_CASES = [
    Case(
        "backup.system_identifier",
        facts(cluster=cluster(control=replace(CONTROL, system_identifier="1"))),
        "is of another cluster",
    ),
    Case(
        "backup.version",
        facts(cluster=cluster(pg_version=15)),
        "is of PostgreSQL 17, the cluster is 15",
    ),
    Case(
        "backup.segment_size",
        facts(cluster=cluster(control=replace(CONTROL, wal_segment_size=1 << 20))),
        "has WAL segments of 16777216 bytes",
    ),
    Case(
        "tablespace.production",
        with_tablespaces("/srv/fast", cluster=with_tablespace()),
        "is in use by the cluster main",
        request={**INTO, "tablespaces": {"/srv/fast": "/srv/fast"}},
    ),
    Case(
        "cluster.server",
        facts(cluster=cluster(postmaster=replace(SERVER, is_single_user=True))),
        "in single-user mode",
    ),
    Case(
        "cluster.server",
        facts(cluster=cluster(postmaster=replace(SERVER, misnamed=77))),
        "names 77",
    ),
    Case(
        "clone.directory",
        facts(CLONE, destination=directory(CLONE, is_empty=False)),
        "is not an empty directory",
        request=INTO,
    ),
    Case(
        "clone.new_tablespaces",
        facts(CLONE),
        "As a standby the clone goes on replaying",
        request=INTO | {"standby": True},
        status="warning",
    ),
    Case(
        "clone.new_tablespaces",
        facts(CLONE, archive=archive(path=None, listed=False, restore_command="cp %f %p")),
        "Not all of the WAL can be read",
        request=INTO,
        status="warning",
    ),
    Case(
        "cluster.manager",
        facts(cluster=cluster(manager=Manager("Patroni", "in charge", "process 7"))),
        "Patroni is in charge",
    ),
    Case(
        "target.beyond_end",
        facts(foretold=foretold(unreachable=Unreachable("target.beyond_end", "It ends.", ()))),
        "It ends.",
    ),
    Case(
        "target.before_backup",
        facts(),
        "lies before the end of backup",
        TargetOptions(to_lsn="0/2000068"),
    ),
    Case(
        "host.port",
        facts(CLONE, host=replace(facts().host, ports_in_use=(5433,))),
        "Port 5433 is in use",
        request={**INTO, "port": 5433},
    ),
    Case(
        "host.space",
        facts(filesystems={DATA: replace(facts().filesystems[DATA], free_bytes=10)}),
        "too little",
    ),
    Case(
        "cluster.link",
        facts(cluster=with_tablespace(is_link=True)),
        "is a link to /srv/fast/PG_17_202406281",
    ),
    Case(
        "cluster.link",
        facts(cluster=cluster(links=Links((), directory("/srv/w"), "it holds ssh", SYSTEM))),
        "which is no directory of WAL: it holds ssh",
    ),
    Case("cluster.shared", near(Neighbour(f"{DATA}/sub", False, ())), f"lies in {DATA}"),
    Case("cluster.shared", near(Neighbour("/srv/pg", True, ())), f"{DATA} is in /srv/pg"),
    Case(
        "backup.inside_data",
        facts(surroundings=Surroundings(kept={f"{DATA}/wal": "The WAL archive"})),
        f"The WAL archive is stored in {DATA}",
    ),
    Case(
        "backup.touched",
        facts(surroundings=Surroundings(backups={"/srv/pg": "Backup b"})),
        f"Backup b would be set aside: {DATA} is in",
    ),
    Case(
        "cluster.path", facts("/etc/new"), "a directory of the system", request={"into": "/etc/new"}
    ),
    Case(
        "cluster.mount",
        facts(surroundings=Surroundings(mounts=(f"{DATA}/disk",))),
        f"mounted at {DATA}/disk",
    ),
    Case(
        "wal.system_identifier",
        facts(archive=archive(system_identifier="1")),
        "belongs to another cluster",
    ),
]


def test_a_data_directory_whose_name_has_a_line_break() -> None:
    name = "/srv/pg/ma\nin"
    with pytest.raises(Refused, match="has a line break"):
        plan_of(facts(name), into=name)


def test_nothing_speaks_against_a_sound_restore() -> None:
    for found in (findings(facts()), findings(facts(CLONE), **INTO)):
        assert {finding.status for finding in found.values()} == {"ok"}


@pytest.mark.parametrize(
    "case", [*CASES, *MORE_CASES], ids=lambda case: f"{case.code}: {case.said[:30]}"
)
def test_it_is_found_and_told(case: Case) -> None:
    finding = case.found()
    assert finding is not None
    assert finding.status == case.status
    assert case.said in finding.message
