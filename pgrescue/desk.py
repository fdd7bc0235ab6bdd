"""The use cases that the command line and the terminal UI share: look, plan, verify."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pgrescue.backup.build import make_backup_plan
from pgrescue.backup.model import BackupPlan
from pgrescue.catalog.cache import CatalogCache, without_verdict
from pgrescue.catalog.discover import find_backup, list_backups
from pgrescue.catalog.model import Backup
from pgrescue.config.backup_request import BackupRequest
from pgrescue.config.model import ClusterConfig, Config
from pgrescue.config.paths import check_paths
from pgrescue.config.retention_policy import RetentionPolicy
from pgrescue.config.state import (
    catalog_cache_file,
    names_cache_directory,
    private_directory,
    wal_index_file,
)
from pgrescue.history.windows import with_last_commits
from pgrescue.plan.build import make_plan
from pgrescue.plan.facts import ClusterFacts
from pgrescue.plan.model import Plan
from pgrescue.plan.request import RestoreRequest
from pgrescue.reseed.model import ReseedRequest
from pgrescue.retention.advise import advise
from pgrescue.retention.build import advice_for, make_prune_plan
from pgrescue.retention.facts import RetentionFacts
from pgrescue.retention.model import Advice
from pgrescue.retention.prune_model import PrunePlan, PruneRequest
from pgrescue.retention.wal import files_by_directory
from pgrescue.run.acts import unfinished_runs
from pgrescue.run.backup_users import (
    backups_at_work,
    backups_outside,
    backups_set_aside,
    same_place,
    unfinished_removals,
    users_of,
)
from pgrescue.run.plan_file import keep_plan
from pgrescue.run.rescued_wal import rescued_wal
from pgrescue.survey.archive import listed_archive
from pgrescue.survey.cluster import cluster_facts
from pgrescue.survey.own_identifier import identifier_of
from pgrescue.survey.past import Past, open_archive
from pgrescue.survey.prune_seen import backups_at
from pgrescue.survey.prune_seen import observe as observe_removal
from pgrescue.survey.retention import Others, survey_prune, survey_retention
from pgrescue.survey.seen import observe, seen_now
from pgrescue.survey.survey import survey
from pgrescue.verify.backup import verify_backup
from pgrescue.verify.files import Report
from pgrescue.verify.model import Verification
from pgrescue.wal.archive import WalArchive
from pgrescue.wal.index import Progress, WalIndex
from pgrescue.wal.index_store import IndexStore


@dataclass(frozen=True, slots=True)
class Desk:
    """One cluster on the table: its backups, its plans, its runs."""

    config: Config
    cluster: ClusterConfig

    def backups(self, archive: WalArchive | None = None) -> list[Backup]:
        """The catalog; raises `ConfigError` for configured places that do not exist.

        `archive`: the WAL archive, if it has been listed already.
        """
        check_paths(self.cluster, self.config.path)
        archive = archive or listed_archive(self.cluster)
        private_directory()
        cache = CatalogCache(catalog_cache_file())
        found = list_backups(self.cluster.backups, cache, archive)
        if archive is None:
            return found
        with open_index() as index:
            return with_last_commits(found, archive, index)

    def backup(self, name: str) -> Backup:
        """One backup by its id or a unique beginning of it; raises `UsageError`."""
        return find_backup(self.backups(), name)

    def facts(self) -> ClusterFacts:
        """The cluster as it stands now."""
        return cluster_facts(self.cluster)

    def plan(self, request: RestoreRequest, progress: Progress | None = None) -> Plan:
        """A sealed plan, kept in the state directory; its blockers are in its preflight.

        `progress` is told of the WAL segments that are read for it.
        """
        backups = self.backups()
        place = str(Path(request.into) if request.into else self.cluster.data_directory)
        with open_index() as index:
            facts = survey(
                self.config,
                self.cluster,
                request,
                backups,
                unfinished_runs(place),
                rescued_wal(self.cluster.name),
                index,
                progress,
            )
        plan = make_plan(facts, request, self.config, self.cluster, seen_now(facts))
        keep_plan(plan)
        return plan

    def backup_plan(self, request: BackupRequest) -> BackupPlan:
        """A sealed plan of a backup, kept in the state directory.

        Raises `Refused` where the server cannot be asked, `UsageError` for senseless choices.
        """
        from pgrescue.survey.backup import survey_backup

        check_paths(self.cluster, self.config.path, backups_may_miss=True)
        backups = list_backups(self.cluster.backups, CatalogCache(catalog_cache_file()))
        unfinished = unfinished_runs(str(self.cluster.data_directory))
        facts = survey_backup(self.cluster, request, backups, unfinished)
        plan = make_backup_plan(
            facts,
            request,
            cluster=self.cluster.name,
            catalog_cache=str(catalog_cache_file()),
            notify=self.notify,
        )
        keep_plan(plan)
        return plan

    @property
    def notify(self) -> str | None:
        """The command that is told how a run ended."""
        return self.cluster.notify or self.config.notify

    def reseed_plan(self, request: ReseedRequest) -> Plan:
        """A sealed plan of a re-seed, kept in the state directory.

        Raises `Refused` where the source cannot be asked, `UsageError` for senseless choices.
        """
        from pgrescue.reseed.build import make_reseed_plan
        from pgrescue.survey.reseed import survey_reseed

        check_paths(self.cluster, self.config.path, backups_may_miss=True)
        place = str(self.cluster.data_directory)
        backups = list_backups(self.cluster.backups, CatalogCache(catalog_cache_file()))
        unfinished = unfinished_runs(place)
        facts = survey_reseed(self.config, self.cluster, request, backups, unfinished)
        cluster = facts.cluster
        seen = observe(cluster.directory.real_path, [], [], cluster.config_directory)
        plan = make_reseed_plan(facts, request, self.config, self.cluster, seen)
        keep_plan(plan)
        return plan

    def retention(self, policy: RetentionPolicy) -> Advice:
        """What a policy keeps and what could go; changes nothing."""
        return advise(self._retention_facts(), policy)

    def system_identifier(self, backups: Sequence[Backup]) -> str | None:
        """The cluster's, as far as its files, its archive or its backups tell."""
        return identifier_of(self.cluster, listed_archive(self.cluster), backups)

    def prune_plan(self, request: PruneRequest) -> PrunePlan:
        """A sealed plan of a removal, kept in the state directory; it may have nothing to do.

        Raises `UsageError` for names of no backup, and where nothing says what is to go.
        """
        retention = self._retention_facts()
        advice, removed = advice_for(retention, request)
        wal = () if request.keep_wal else advice.wal.files
        ids, paths = [b.id for b in removed], [os.path.realpath(b.path) for b in removed]
        roots = [str(root) for root in self.cluster.backups]
        facts = survey_prune(
            self.cluster,
            retention,
            removed,
            wal,
            used_by=users_of(ids, paths),
            unfinished=unfinished_removals(roots),
            elsewhere=sorted({backup.path for backup in retention.elsewhere}),
        )
        plan = make_prune_plan(
            facts,
            request,
            cluster=self.cluster.name,
            catalog_cache=str(catalog_cache_file()),
            seen=observe_removal(
                retention.backups,
                retention.archive,
                paths,
                files_by_directory(wal),
                retention.elsewhere,
            ),
        )
        keep_plan(plan)
        return plan

    def _retention_facts(self) -> RetentionFacts:
        check_paths(self.cluster, self.config.path)
        archive = listed_archive(self.cluster)
        backups = self.backups(archive)
        others = self._others(backups, archive)
        with open_index() as index:
            zone = self.config.time_zone
            return survey_retention(self.cluster, zone, backups, archive, index, others)

    def _others(self, backups: Sequence[Backup], archive: WalArchive | None) -> Others:
        """What of other clusters and of other runs may need this cluster's WAL."""
        own = identifier_of(self.cluster, archive, backups)
        place = str(self.cluster.wal_archive) if self.cluster.wal_archive else None
        roots = [
            str(root)
            for other in self.config.clusters.values()
            if place is not None and other.name != self.cluster.name
            if other.wal_archive is not None and same_place(str(other.wal_archive), place)
            for root in other.backups
        ]
        places = (*roots, *backups_outside(own, place), *backups_set_aside())
        cache = CatalogCache(catalog_cache_file())
        return Others(
            roots=tuple(roots),
            backups=backups_at(places, backups, cache, archive),
            runs=tuple(backups_at_work(own, place)),
        )

    def verify(self, name: str, report: Report) -> Verification:
        """Read one backup to its end; the catalog remembers what that has shown."""
        backup = self.backup(name)
        backup = without_verdict(backup)
        found = verify_backup(backup, report)
        cache, now = CatalogCache(catalog_cache_file()), datetime.now(UTC)
        if found.is_proved:
            cache.set_verified(Path(backup.path), now)
        elif damage := found.damage([problem.message for problem in backup.problems]):
            cache.set_damaged(Path(backup.path), now, damage)
        return found

    @contextmanager
    def past(self) -> Iterator[Past]:
        """What the archive tells; raises `Refused` where there is no archive to read."""
        with open_index() as index:
            yield self.open_past(index)

    def open_past(self, index: WalIndex) -> Past:
        """As `past`, on an index that is open already."""
        check_paths(self.cluster, self.config.path)
        archive = open_archive(self.cluster)
        files = (*archive.segments.values(), *archive.partials.values())
        index.tidy(str(archive.path), {str(file.location) for file in files})
        backups = self.backups(archive)
        rescued = rescued_wal(self.cluster.name)
        return Past(self.cluster, archive, backups, index, names_cache_directory(), rescued)


@contextmanager
def open_index() -> Iterator[WalIndex]:
    """The index of WAL segments that this machine keeps."""
    private_directory()
    store = IndexStore(wal_index_file())
    try:
        yield WalIndex(store)
    finally:
        store.close()
