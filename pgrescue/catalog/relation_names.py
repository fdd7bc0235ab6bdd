"""The names of databases, schemas and relations, read out of a base backup as it lies there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pgrescue.catalog.catalog_files import CatalogFiles, PlainFiles, TarFiles
from pgrescue.catalog.catalog_reading import CatalogRows, DatabaseRows, read_catalogs
from pgrescue.catalog.layout import read_layout
from pgrescue.catalog.model import Backup
from pgrescue.catalog.names_cache import NamesCache
from pgrescue.catalog.stamp import stamp_of
from pgrescue.errors import InvalidFormat, PgRescueError
from pgrescue.postgres.system_catalogs import PG_CLASS, PG_DATABASE, PgClassRow
from pgrescue.postgres.visibility import State


@dataclass(frozen=True, slots=True)
class RelationName:
    """A relation as its row in `pg_class` describes it."""

    oid: int
    schema: str
    """Empty if the row of its schema was not found."""
    name: str
    kind: str
    """`pg_class.relkind`."""
    filenode: int
    """0 if it has no file."""
    tablespace: int
    """OID; its database's tablespace where `pg_class` says 0."""
    persistence: str
    """`p` permanent, `u` unlogged, `t` temporary."""
    rows: float | None
    """`reltuples`; None if nothing has ever counted them."""
    toast: int
    """OID of its TOAST table, 0 if it has none."""
    live: bool
    """False: only a deleted or an uncertain version was found."""


@dataclass(frozen=True)
class DatabaseNames:
    """A database, and its relations by OID."""

    oid: int
    name: str
    tablespace: int
    pg_class_filenode: int
    relations: dict[int, RelationName]
    schemas: dict[int, str]
    problem: str | None = None
    """Why its relations are not known."""

    def by_filenode(self, tablespace: int, filenode: int) -> RelationName | None:
        """The relation whose file this is."""
        return self._by_filenode.get((tablespace, filenode))

    @cached_property
    def _by_filenode(self) -> dict[tuple[int, int], RelationName]:
        return {
            (relation.tablespace, relation.filenode): relation
            for relation in self._live_ones_last()
            if relation.filenode
        }

    def _live_ones_last(self) -> list[RelationName]:
        return sorted(self.relations.values(), key=lambda relation: relation.live)


@dataclass(frozen=True, slots=True)
class ClusterNames:
    """Everything in a backup that has a name, by OID."""

    databases: dict[int, DatabaseNames]
    tablespaces: dict[int, str]
    pg_database_filenode: int

    def relation(self, database_oid: int, oid: int) -> RelationName | None:
        """A relation by its OID; database 0 stands for what all databases share."""
        database = self._database(database_oid)
        return database.relations.get(oid) if database else None

    def by_filenode(self, database_oid: int, tablespace: int, filenode: int) -> RelationName | None:
        """A relation by its file, as WAL records name it: with database 0 if it is shared."""
        database = self._database(database_oid)
        return database.by_filenode(tablespace, filenode) if database else None

    def _database(self, oid: int) -> DatabaseNames | None:
        if oid == 0:
            return next((found for found in self.databases.values() if found.relations), None)
        return self.databases.get(oid)


def read_names(backup: Backup, cache: Path | None = None) -> ClusterNames:
    """Every name in a full backup, out of its catalogs' pages.

    `cache` is a directory that keeps them until the backup changes. Raises `PgRescueError` if the
    backup cannot be read.
    """
    if backup.format is None or backup.details is None:
        raise InvalidFormat("The backup cannot be read.", f"{backup.path} is no whole backup.")
    if backup.kind == "incremental":
        raise PgRescueError(
            "An incremental backup does not hold whole catalogs.",
            f"{backup.id} has only the blocks that changed since the backup that it builds on.",
            next_steps=("read the names of the full backup that its chain begins with",),
        )
    try:
        layout = read_layout(Path(backup.path))
        stamp = stamp_of(layout)
    except OSError as error:
        raise PgRescueError(
            "The backup cannot be read.", f"{backup.path}: {error.strerror or error}."
        ) from error
    kept = NamesCache(cache) if cache else None
    names = kept.get(backup.path, stamp, ClusterNames) if kept else None
    if names is None:
        source = TarFiles(layout) if backup.format == "tar" else PlainFiles(layout)
        names = _names(read_catalogs(CatalogFiles(source), backup.major))
        if kept:
            kept.put(backup.path, stamp, names)
    return names


def _names(rows: CatalogRows) -> ClusterNames:
    return ClusterNames(
        databases={found.row.oid: _database(found, rows.filenodes) for found in rows.databases},
        tablespaces=rows.tablespaces,
        pg_database_filenode=rows.filenodes.get(PG_DATABASE, 0),
    )


def _database(found: DatabaseRows, shared_filenodes: dict[int, int]) -> DatabaseNames:
    def filenode(row: PgClassRow) -> int:
        mapped = shared_filenodes if row.is_shared else found.filenodes
        return row.filenode or mapped.get(row.oid, 0)

    return DatabaseNames(
        oid=found.row.oid,
        name=found.row.name,
        tablespace=found.row.tablespace,
        pg_class_filenode=found.filenodes.get(PG_CLASS, 0),
        relations={
            oid: RelationName(
                oid=oid,
                schema=found.schemas.get(version.row.namespace, ""),
                name=version.row.name,
                kind=version.row.kind,
                filenode=filenode(version.row),
                tablespace=version.row.tablespace or found.row.tablespace,
                persistence=version.row.persistence,
                rows=version.row.rows,
                toast=version.row.toast,
                live=version.state == State.LIVE,
            )
            for oid, version in found.relations.items()
        },
        schemas=dict(found.schemas),
        problem=found.problem,
    )
