"""The part of the bridge that takes backups and looks through them; everything here may block."""

from __future__ import annotations

from collections.abc import Callable

from pgrescue.backup import text as backup_text
from pgrescue.backup.model import BackupPlan
from pgrescue.config.backup_request import BackupRequest
from pgrescue.config.model import ClusterConfig, Config
from pgrescue.desk import Desk
from pgrescue.plan import render_text as restore_text
from pgrescue.plan.facts import ClusterFacts
from pgrescue.plan.model import Plan
from pgrescue.plan.sealed import SealedPlan
from pgrescue.survey.cluster import cluster_facts
from pgrescue.survey.host import host_facts
from pgrescue.survey.programs import client_major, programs_for
from pgrescue.tui.view import BackupSetting
from pgrescue.verify.model import Verification

_OF_THE_SERVER = ("host", "port", "user")


class TakingBridge:
    """Plans backups, and reads them again."""

    _config: Config

    def backup_setting(self, cluster: str) -> BackupSetting:
        """What the choices of a backup begin with; asks no server."""
        configured = self._config.cluster(cluster)
        facts = cluster_facts(configured)
        directory = programs_for(facts.pg_version, configured.bin_directory).bin_directory
        return BackupSetting(
            configured=configured.backup,
            host=host_facts(),
            root=str(configured.backups[0]) if configured.backups else None,
            program=f"{directory}/pg_basebackup" if directory else "pg_basebackup",
            major=facts.pg_version or client_major(directory),
            conninfo=_own_server(configured, facts),
            run_as=facts.owner.name if facts.owner.must_switch else None,
        )

    def backup_plan(self, cluster: str, request: BackupRequest) -> BackupPlan:
        """A sealed plan of a backup; raises `Refused` where the server cannot be asked."""
        return self._desk(cluster).backup_plan(request)

    def verify(
        self, cluster: str, backup: str, progress: Callable[[int, str], None]
    ) -> Verification:
        """Read a backup to its end; what `progress` raises gives the reading up."""
        return self._desk(cluster).verify(backup, progress)

    def _desk(self, cluster: str) -> Desk:
        return Desk(self._config, self._config.cluster(cluster))


def plan_as_text(plan: SealedPlan) -> str:
    """A plan of any kind, as it is written to a file."""
    if isinstance(plan, BackupPlan):
        return backup_text.render_text(plan)
    assert isinstance(plan, Plan)
    return restore_text.render_text(plan)


def _own_server(cluster: ClusterConfig, facts: ClusterFacts) -> str | None:
    # psycopg takes half a second to load: the first screen must not wait for it.
    from psycopg.conninfo import make_conninfo

    from pgrescue.postgres.probe import connection_parameters, is_listening

    if facts.postmaster is None or not is_listening(facts.postmaster):
        return None
    parameters = connection_parameters(facts.postmaster, facts.owner, cluster.conninfo)
    return make_conninfo("", **{name: parameters[name] for name in _OF_THE_SERVER})
