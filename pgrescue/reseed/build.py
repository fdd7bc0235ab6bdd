"""From facts and choices to a sealed plan of a re-seed; pure."""

from __future__ import annotations

from dataclasses import replace

from pgrescue.backup.build import checkpoint_bound, checkpoint_of
from pgrescue.backup.checks.source import unreachable
from pgrescue.backup.command import basebackup_command
from pgrescue.backup.facts import ServerFacts
from pgrescue.config.backup_request import BackupRequest
from pgrescue.config.model import ClusterConfig, Config
from pgrescue.errors import Refused
from pgrescue.plan.checks.names import refuse_line_breaks
from pgrescue.plan.layout import mode_of, moves_of, old_links_of, staging_directory, tag_of
from pgrescue.plan.model import Plan, Seed, Stop, TablespaceWork, Work
from pgrescue.plan.sealed import seal
from pgrescue.plan.target import Target
from pgrescue.plan.work import log_outside
from pgrescue.postgres.conninfo import without_address
from pgrescue.postgres.lsn import Lsn
from pgrescue.reseed.asked import Asked
from pgrescue.reseed.checks import preflight
from pgrescue.reseed.model import ReseedFacts, ReseedRequest, place_of
from pgrescue.reseed.space import space_of
from pgrescue.reseed.steps import reseed_steps


def make_reseed_plan(
    facts: ReseedFacts,
    request: ReseedRequest,
    config: Config,
    cluster: ClusterConfig,
    seen: dict[str, str],
) -> Plan:
    """The sealed plan; findings that forbid it are in its preflight.

    Raises `Refused` where the source cannot be asked: then there is nothing to plan with.
    """
    server = facts.source.server
    if server is None:
        finding = unreachable(facts.source)
        raise Refused(finding.message, next_steps=(finding.fix or "",))
    refuse_line_breaks(facts.cluster.directory.real_path)
    work = _work(facts, server, request, config, cluster)
    space = space_of(facts, server, request)
    plan = Plan(
        id="",
        created_at=facts.host.now,
        host=facts.host.name,
        operator=facts.host.operator,
        cluster=cluster.name,
        mode="reseed",
        backup=facts.source.words,
        target=Target("latest", True, "promote", server.timeline),
        stop=Stop("end_of_wal", None, None, None, None, server.timeline),
        preflight=preflight(Asked(facts, server, request, work, space)),
        steps=reseed_steps(work),
        settings={},
        settings_diff="",
        space=space,
        reversible=True,
        time_zone=config.time_zone,
        work=work,
        notify=cluster.notify or config.notify,
        seen=seen,
    )
    return seal(plan)


def _work(
    facts: ReseedFacts,
    server: ServerFacts,
    request: ReseedRequest,
    config: Config,
    cluster: ClusterConfig,
) -> Work:
    found, tag = facts.cluster, tag_of(facts.host.now)
    directory = found.directory
    staging = staging_directory(directory, tag)
    wal = found.wal_directory
    return Work(
        tag=tag,
        data_directory=directory.real_path,
        owner=found.owner,
        run_as=found.owner.name if facts.host.is_root else None,
        mode=mode_of(directory),
        bin_directory=facts.programs.bin_directory or "",
        major=server.major,
        service=cluster.service,
        stop_service=True,
        was_running=found.postmaster is not None,
        start_again=found.was_meant_to_run,
        config_directory=found.config_directory,
        chain=(),
        restore_bytes=server.database_bytes,
        moves=moves_of(found, tag),
        wal_link=wal.real_path if wal is not None else None,
        old_links=old_links_of(found),
        old_wal=None,
        staging=staging,
        wal_archive=None,
        restore_command=None,
        wal_segment_size=int(server.number("wal_segment_size")),
        system_identifier=server.system_identifier,
        start_lsn=Lsn(0),
        wal_end=None,
        settings={},
        lasting_settings={},
        signal_file="standby.signal",
        added_files={},
        removed_files=(),
        old_data="keep",
        conninfo=without_address(cluster.conninfo),
        log=log_outside(found.log, directory.real_path),
        port=None,
        stop_timeout=config.stop_timeout,
        start_timeout=config.start_timeout,
        seed=_seed(facts, server, request, tag, f"{staging}/new"),
        neighbours=facts.surroundings.known,
    )


def _seed(
    facts: ReseedFacts, server: ServerFacts, request: ReseedRequest, tag: str, place: str
) -> Seed:
    tablespaces = tuple(
        TablespaceWork(
            item.oid,
            f"{(here := place_of(item, request, facts.cluster))}/{tag}-new",
            here,
        )
        for item in server.tablespaces
    )
    choices = BackupRequest(format="plain", checkpoint=request.checkpoint)
    chosen = replace(choices, checkpoint=checkpoint_of(choices, server), max_rate=request.max_rate)
    at_source = {item.oid: item.location for item in server.tablespaces}
    conninfo = f"{facts.source.conninfo} application_name={tag}".strip()
    command = basebackup_command(
        chosen,
        program=f"{facts.programs.bin_directory or ''}/pg_basebackup",
        conninfo=conninfo,
        directory=place,
        label=tag,
        server_major=server.major,
        tablespaces=tuple((at_source[item.oid], item.archive) for item in tablespaces),
    )
    follow = ["--write-recovery-conf"]
    if request.slot is not None:
        follow.append(f"--slot={request.slot}")
    return Seed(
        command=(*command, *follow),
        place=place,
        conninfo=facts.source.conninfo,
        application=tag,
        checkpoint=chosen.checkpoint,
        checkpoint_bound=checkpoint_bound(server),
        estimated_bytes=server.database_bytes or 0,
        tablespaces=tablespaces,
        creates_slot=request.slot if request.create_slot else None,
        keeps_configuration=request.own_configuration and facts.has_configuration,
        own_files=facts.own.files if request.own_configuration else (),
    )
