"""The rows of a backup's system catalogs, read in as few passes over it as they allow.

Relation maps tell where `pg_class` is, and only `pg_class` tells where `pg_namespace` is; both
move when they are rewritten (VACUUM FULL). `pg_database` tells which databases lie elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pgrescue.catalog.catalog_files import CatalogFiles
from pgrescue.catalog.look import VERSION
from pgrescue.errors import InvalidFormat
from pgrescue.postgres import relation_map
from pgrescue.postgres.commit_log import DIRECTORY as COMMIT_LOG
from pgrescue.postgres.commit_log import CommitLog
from pgrescue.postgres.system_catalogs import (
    DEFAULT_TABLESPACE,
    PG_CLASS,
    PG_DATABASE,
    PG_NAMESPACE,
    PG_TABLESPACE,
    NamedRow,
    PgClassRow,
    PgDatabaseRow,
    pg_class_row,
    pg_database_row,
    pg_namespace_row,
    pg_tablespace_row,
)
from pgrescue.postgres.versions import NEWEST, OLDEST
from pgrescue.postgres.visibility import Row, State, Version, newest_versions

Parse = Callable[[bytes, int], Row | None]


@dataclass(frozen=True, slots=True)
class DatabaseRows:
    """A database and what its own catalogs say."""

    row: PgDatabaseRow
    filenodes: dict[int, int] = field(default_factory=dict)
    """Its relation map."""
    relations: dict[int, Version[PgClassRow]] = field(default_factory=dict)
    schemas: dict[int, str] = field(default_factory=dict)
    problem: str | None = None
    """Why its catalogs could not be read."""


@dataclass(frozen=True, slots=True)
class CatalogRows:
    """What the catalogs of a cluster say."""

    databases: tuple[DatabaseRows, ...]
    """Those that live, and those of which at least the directory is there."""
    tablespaces: dict[int, str]
    filenodes: dict[int, int]
    """The relation map of what all databases share."""


@dataclass(frozen=True, slots=True)
class _Place:
    """A database's directory in the backup and its relation map."""

    directory: str
    filenodes: dict[int, int]

    @property
    def pg_class(self) -> str:
        return f"{self.directory}/{self.filenodes.get(PG_CLASS, 0)}"


def read_catalogs(files: CatalogFiles, major: int | None) -> CatalogRows:
    """Read the catalogs of a backup of version `major`, or of the one that its own files name.

    Raises `PgRescueError` if they cannot be read; what concerns one database alone does not.
    """
    files.look_through(DEFAULT_TABLESPACE)
    shared = relation_map.parse_relation_map(files.small.get(f"global/{relation_map.NAME}", b""))
    return _Reading(files, _major(files, major), _commit_log(files), shared).rows()


@dataclass(frozen=True, slots=True)
class _Reading:
    """A reading whose first pass is done."""

    files: CatalogFiles
    major: int
    log: CommitLog
    shared: dict[int, int]

    def rows(self) -> CatalogRows:
        pg_database, pg_tablespace = (
            f"global/{self.shared.get(oid, 0)}" for oid in (PG_DATABASE, PG_TABLESPACE)
        )
        known = [place for place in self._places().values() if isinstance(place, _Place)]
        self.files.fetch([pg_database, pg_tablespace, *(place.pg_class for place in known)])
        databases = self._versions(pg_database, pg_database_row)
        live = [found.row for found in databases.values() if found.state == State.LIVE]
        if not live:
            raise InvalidFormat(
                "The backup's pg_database cannot be read.", f"{pg_database} holds no live row."
            )
        self._look_elsewhere(live)
        return CatalogRows(
            databases=self._databases(databases),
            tablespaces=self._names_in(pg_tablespace, pg_tablespace_row),
            filenodes=self.shared,
        )

    def _look_elsewhere(self, live: list[PgDatabaseRow]) -> None:
        """Read the tablespaces of databases that are not in the default one."""
        seen = self._places()
        elsewhere = {row.tablespace for row in live if (row.tablespace, row.oid) not in seen}
        for tablespace in sorted(elsewhere - {DEFAULT_TABLESPACE}):
            self.files.look_through(tablespace)

    def _places(self) -> dict[tuple[int, int], _Place | InvalidFormat]:
        """Places by OIDs of tablespace and database, or what is wrong with their maps."""
        places: dict[tuple[int, int], _Place | InvalidFormat] = {}
        for key, directory in self.files.database_directories(self.major).items():
            data = self.files.small[f"{directory}/{relation_map.NAME}"]
            try:
                places[key] = _Place(directory, relation_map.parse_relation_map(data))
            except InvalidFormat as error:
                places[key] = error
        return places

    def _databases(self, versions: dict[int, Version[PgDatabaseRow]]) -> tuple[DatabaseRows, ...]:
        places = self._places()
        # Caught between two tablespaces, a database may lie where its row does not say.
        anywhere = {oid: place for (_, oid), place in places.items()}
        located: list[tuple[PgDatabaseRow, _Place | InvalidFormat | None]] = []
        for oid, version in sorted(versions.items()):
            place = places.get((version.row.tablespace, oid), anywhere.get(oid))
            if place is not None or version.state == State.LIVE:
                located.append((version.row, place))
        found = [place for _, place in located if isinstance(place, _Place)]
        self.files.fetch([place.pg_class for place in found])
        relations = {
            place.directory: self._versions(place.pg_class, pg_class_row) for place in found
        }
        self.files.fetch([_schemas_file(directory, rows) for directory, rows in relations.items()])
        return tuple(
            self._database(row, place, relations[place.directory])
            if isinstance(place, _Place)
            else DatabaseRows(row, problem=_what_is_wrong(place))
            for row, place in located
        )

    def _database(
        self, row: PgDatabaseRow, place: _Place, relations: dict[int, Version[PgClassRow]]
    ) -> DatabaseRows:
        return DatabaseRows(
            row=row,
            filenodes=place.filenodes,
            relations=relations,
            schemas=self._names_in(_schemas_file(place.directory, relations), pg_namespace_row),
            problem=None if relations else "Its pg_class cannot be read.",
        )

    def _names_in(self, name: str, parse: Parse[NamedRow]) -> dict[int, str]:
        """The names in a heap, of what is gone too."""
        return {oid: version.row.name for oid, version in self._versions(name, parse).items()}

    def _versions(self, name: str, parse: Parse[Row]) -> dict[int, Version[Row]]:
        heap = self.files.heap(name)
        return newest_versions(heap, self.log, lambda data: parse(data, self.major))


def _schemas_file(directory: str, relations: dict[int, Version[PgClassRow]]) -> str:
    """The heap of a database's `pg_namespace`."""
    version = relations.get(PG_NAMESPACE)
    return f"{directory}/{version.row.filenode if version else PG_NAMESPACE}"


def _what_is_wrong(place: InvalidFormat | None) -> str:
    return f"{place.title} {place.cause}" if place else "It is not in the backup."


def _commit_log(files: CatalogFiles) -> CommitLog:
    directory = f"{COMMIT_LOG}/"
    return CommitLog(
        {
            name.removeprefix(directory): data
            for name, data in files.small.items()
            if name.startswith(directory)
        }
    )


def _major(files: CatalogFiles, stated: int | None) -> int:
    text = files.small.get(VERSION, b"").decode(errors="replace").strip()
    major = int(text) if text.isdecimal() else stated
    if major is None or not OLDEST <= major <= NEWEST:
        raise InvalidFormat(
            "The backup is of no version that pgrescue knows.",
            f"{VERSION} says {text or 'nothing'}; known are {OLDEST} to {NEWEST}.",
        )
    return major
