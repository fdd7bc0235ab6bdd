"""From facts and a request to a sealed plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, replace

from pgrescue.config.model import ClusterConfig, Config
from pgrescue.plan.checks import preflight
from pgrescue.plan.checks.names import refuse_line_breaks
from pgrescue.plan.facts import Facts
from pgrescue.plan.fetch_wal import NAME as FETCH_WAL
from pgrescue.plan.fetch_wal import restore_command_for
from pgrescue.plan.layout import (
    chain_parts,
    mode_of,
    moves_of,
    old_links_of,
    staging_directory,
    tablespace_destinations,
    tag_of,
)
from pgrescue.plan.model import Plan, Work
from pgrescue.plan.request import RestoreRequest
from pgrescue.plan.sealed import seal
from pgrescue.plan.settings import (
    auto_conf_after,
    clone_settings,
    raised_limits,
    recovery_settings,
    settings_diff,
)
from pgrescue.plan.space import space_needed
from pgrescue.plan.steps import restore_steps
from pgrescue.plan.stop import stop_of
from pgrescue.plan.work import log_outside
from pgrescue.postgres.conf_file import parse_assignments
from pgrescue.postgres.conninfo import without_address
from pgrescue.postgres.control_file import StandbyLimits
from pgrescue.postgres.data_directory import AUTO_CONF
from pgrescue.postgres.lsn import Lsn
from pgrescue.postgres.service import ServiceSpec
from pgrescue.wal.segment import DEFAULT_SEGMENT_SIZE

DEFAULT_PORT = 5432
_LOCAL_HBA = """\
# The backup holds no pg_hba.conf: local connections of the owner, nobody from outside.
local all all peer
host all all 127.0.0.1/32 scram-sha-256
"""


def make_plan(
    facts: Facts,
    request: RestoreRequest,
    config: Config,
    cluster: ClusterConfig,
    seen: Mapping[str, str],
) -> Plan:
    """The sealed plan; findings that forbid it are in its preflight, not raised.

    Raises `UsageError` for options that make no sense with this backup, `Refused` for a data
    directory that cannot be one.
    """
    refuse_line_breaks(facts.destination.real_path)
    work = _work(facts, request, config, cluster)
    target, timeline = request.target, facts.reach.timeline
    before = facts.backup.details.configuration.get(AUTO_CONF, "") if facts.backup.details else ""
    recovery = {k: v for k, v in work.settings.items() if k not in work.lasting_settings}
    after = auto_conf_after(before, recovery, work.lasting_settings, target)
    space = space_needed(facts, work, _configured(facts, request.into is None))
    notify = cluster.notify or config.notify
    plan = Plan(
        id="",
        created_at=facts.host.now,
        host=facts.host.name,
        operator=facts.host.operator,
        cluster=cluster.name,
        mode="in_place" if request.into is None else "clone",
        backup=facts.backup.id,
        target=replace(target, timeline=timeline),
        stop=facts.foretold.stop if facts.foretold else stop_of(target, facts.backup, timeline),
        preflight=preflight(facts, request, work, space, notify),
        steps=restore_steps(work, target, standby=request.standby),
        settings=work.settings,
        settings_diff=settings_diff(before, after),
        space=space,
        reversible=work.old_data == "keep",
        time_zone=config.time_zone,
        work=work,
        notify=notify,
        seen=dict(seen),
        wal_tail=facts.wal_tail,
    )
    return seal(plan)


def _work(facts: Facts, request: RestoreRequest, config: Config, cluster: ClusterConfig) -> Work:
    backup, details = facts.backup, facts.backup.details
    assert details is not None
    in_place = request.into is None
    tag = tag_of(facts.host.now)
    staging = staging_directory(facts.destination, tag)
    segment_size = details.wal_segment_size or DEFAULT_SEGMENT_SIZE
    destination = facts.destination.real_path
    lasting = {} if in_place else _clone_settings(facts, request, destination)
    configured = _configured(facts, in_place)
    recovery = recovery_settings(
        request.target,
        facts.reach.timeline,
        restore_command_for(f"{staging}/{FETCH_WAL}"),
        backup.major or 0,
        raised_limits(_limits(facts), configured),
        standby=request.standby,
    )
    return Work(
        tag=tag,
        data_directory=destination,
        owner=facts.cluster.owner,
        run_as=facts.cluster.owner.name if facts.host.is_root else None,
        mode=mode_of(facts.cluster.directory),
        bin_directory=facts.programs.bin_directory or "",
        major=backup.major or 0,
        service=cluster.service if in_place else ServiceSpec("pg_ctl"),
        stop_service=in_place,
        was_running=in_place and facts.cluster.postmaster is not None,
        start_again=in_place and facts.cluster.was_meant_to_run,
        config_directory=facts.cluster.config_directory if in_place else None,
        chain=chain_parts(facts, tablespace_destinations(request, backup, facts.cluster)),
        restore_bytes=backup.restore_bytes,
        moves=moves_of(facts.cluster, tag) if in_place else (),
        wal_link=_wal_link(facts) if in_place else None,
        old_links=old_links_of(facts.cluster) if in_place else (),
        old_wal=_old_wal(facts) if in_place or _gives_wal_to_a_clone(facts) else None,
        rescued=facts.rescued,
        doubted_wal=facts.doubted_wal,
        removable_wal=facts.removable_wal if in_place else (),
        backup_roots=tuple(map(str, cluster.backups)),
        staging=staging,
        wal_archive=facts.archive.path if facts.archive.listed else None,
        restore_command=facts.archive.restore_command,
        wal_segment_size=segment_size,
        system_identifier=backup.system_identifier,
        start_lsn=backup.start_lsn or Lsn(0),
        wal_end=facts.reach.end,
        settings={**recovery, **lasting},
        lasting_settings=lasting,
        signal_file="standby.signal" if request.standby else "recovery.signal",
        added_files=_added_files(facts, in_place),
        removed_files=_removed_files(request),
        old_data=request.old_data if in_place else "keep",
        conninfo=without_address(cluster.conninfo),
        log=log_outside(facts.cluster.log, destination) if in_place else f"{destination}.log",
        port=None if in_place else request.port or free_port(facts),
        stop_timeout=config.stop_timeout,
        start_timeout=config.start_timeout,
        neighbours=facts.surroundings.known,
        first_wal=facts.reach.first,
        last_wal=facts.reach.last,
        proven_wal=facts.trial.proven if facts.trial else None,
        archive_has_wal=facts.archive.segment_count > 0,
        ends_with_the_plan=_ends_with_the_plan(facts, request),
    )


def free_port(facts: Facts) -> int:
    """The first port above PostgreSQL's usual one that nobody uses."""
    used = {*facts.host.ports_in_use, DEFAULT_PORT}
    return next(port for port in range(DEFAULT_PORT, 65536) if port not in used)


def _clone_settings(facts: Facts, request: RestoreRequest, destination: str) -> dict[str, str]:
    port = request.port or free_port(facts)
    # A socket's path must fit into 107 bytes (sun_path), and a comma would make two of it, for
    # server and clients alike, who want UTF-8; otherwise the loopback address serves.
    length = len(f"{destination}/.s.PGSQL.{port}".encode(errors="replace"))
    is_text = destination.encode(errors="replace").decode() == destination
    fits = length <= 107 and "," not in destination and is_text
    return clone_settings(destination, port, destination if fits else "", facts.cluster.name)


def _limits(facts: Facts) -> StandbyLimits | None:
    """What a hot standby needs: as the backup had it, or as the WAL on the way raises it."""
    details = facts.backup.details
    at_backup = details.control.limits if details and details.control else None
    later = facts.foretold.limits if facts.foretold else None
    if at_backup is None or later is None:
        return at_backup or later
    return StandbyLimits(*map(max, astuple(at_backup), astuple(later)))


def _configured(facts: Facts, in_place: bool) -> dict[str, str]:
    """The settings that will be in force before the recovery block."""
    details = facts.backup.details
    values: dict[str, str] = {}
    for name in ("postgresql.conf", AUTO_CONF):
        values |= parse_assignments(details.configuration.get(name, "") if details else "")
        if in_place and name == "postgresql.conf":
            values |= facts.cluster.configuration
    return values


def _wal_link(facts: Facts) -> str | None:
    wal = facts.cluster.wal_directory
    return wal.real_path if wal is not None else None


def _gives_wal_to_a_clone(facts: Facts) -> bool:
    return facts.takes_own_wal and _has_something_to_rescue(facts)


def _has_something_to_rescue(facts: Facts) -> bool:
    return facts.wal_tail is not None or facts.history_to_rescue or bool(facts.rescued)


def _ends_with_the_plan(facts: Facts, request: RestoreRequest) -> bool:
    """A clone beside its original must not replay what nobody has looked at."""
    is_clone = request.into is not None and not request.standby
    return is_clone and facts.archive.restore_command is None


def _old_wal(facts: Facts) -> str | None:
    if facts.cluster.wal_directory is not None:
        return facts.cluster.wal_directory.real_path
    # A directory may have lost its PG_VERSION and still hold the only copy of the newest WAL.
    has_data = facts.cluster.pg_version is not None or bool(facts.reach.from_tail)
    return f"{facts.cluster.directory.real_path}/pg_wal" if has_data else None


def _added_files(facts: Facts, in_place: bool) -> dict[str, str]:
    """Configuration that the server needs and the backup lacks: Debian keeps it in /etc."""
    details = facts.backup.details
    present = details.configuration if details else {}
    if in_place and facts.cluster.config_directory is not None:
        return {}
    wanted = {
        "postgresql.conf": "# The backup holds no postgresql.conf; built-in defaults apply.\n",
        "pg_hba.conf": _LOCAL_HBA,
        "pg_ident.conf": "",
    }
    return {name: text for name, text in wanted.items() if name not in present}


def _removed_files(request: RestoreRequest) -> tuple[str, ...]:
    other = "recovery.signal" if request.standby else "standby.signal"
    stale = ("recovery.conf", "postmaster.pid", "postmaster.opts", "current_logfiles")
    return (other, *stale)
