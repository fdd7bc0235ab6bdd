"""What relations are called: from the catalogs in a backup, and from rows inserted since."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pgrescue.catalog.relation_names import ClusterNames, RelationName
from pgrescue.postgres.system_catalogs import PG_CLASS, PG_DATABASE, PG_NAMESPACE
from pgrescue.wal.events import NameGiven
from pgrescue.wal.record import RelFileLocator

FIRST_NORMAL_OID = 16384
"""`FirstNormalObjectId` in `src/include/access/transam.h`: what users make begins here."""
_TRANSIENT = re.compile(r"pg_temp_(\d+)")
_MAX_NAME = 63


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one relation."""

    oid: int
    schema: str | None
    name: str
    kind: str
    """`pg_class.relkind`."""
    persistence: str
    rows: float | None
    """As the backup knew it."""
    filenode: int
    """Its file when it was learned; it may have got others since."""


def rewritten_relation(given: NameGiven) -> int | None:
    """The OID of the relation that a transient table is to replace; None if it is none.

    VACUUM FULL, CLUSTER, REFRESH and many forms of ALTER TABLE fill one called `pg_temp_OID`
    (`make_new_heap` in `src/backend/commands/cluster.c`).
    """
    match = _TRANSIENT.fullmatch(given.name)
    return int(match[1]) if match else None


class NameBook:
    """Names by OID and by file; it grows while the WAL is gone through."""

    def __init__(self, names: ClusterNames | None) -> None:
        """`names` None: no backup's catalogs could be read."""
        self._names = names
        self._given: dict[tuple[int, int], NameGiven] = {}
        self._schemas: dict[tuple[int, int], str] = {}
        self._databases: dict[int, str] = {}
        self._files: dict[tuple[int, int], int] = {}
        self._said: set[tuple[int, str]] = set()

    def learn(self, given: NameGiven) -> None:
        """Note a row that was inserted into a catalog."""
        if given.catalog == PG_CLASS:
            self._said.add((given.database, given.name))
            self._given[given.database, given.oid] = given
            replaced = rewritten_relation(given)
            if given.filenode:
                self.renumber(given.database, given.filenode, replaced or given.oid)
        elif given.catalog == PG_NAMESPACE:
            self._schemas[given.database, given.oid] = given.name
        elif given.catalog == PG_DATABASE:
            self._databases[given.oid] = given.name

    def renumber(self, database: int, filenode: int, oid: int) -> None:
        """Note that a relation has got a new file."""
        self._files[database, filenode] = oid

    def was_rebuilt(self, database: int, index: str) -> bool:
        """Whether REINDEX CONCURRENTLY made a new index in place of this one."""
        suffix = "_ccnew"
        return (database, index[: _MAX_NAME - len(suffix)] + suffix) in self._said

    def relation(self, database: int, oid: int) -> Known | None:
        """A relation by its OID."""
        found = self._names.relation(database, oid) if self._names else None
        if found is not None:
            return _from_backup(found)
        given = self._given.get((database, oid))
        if given is None:
            return None
        return Known(
            oid=oid,
            schema=self._schema(database, given.namespace),
            name=given.name,
            kind=given.relkind,
            persistence=given.persistence,
            rows=None,
            filenode=given.filenode,
        )

    def by_file(self, file: RelFileLocator) -> Known | None:
        """A relation by one of its files."""
        oid = self._files.get((file.database, file.filenode))
        if oid is not None:
            return self.relation(file.database, oid)
        if self._names is None:
            return None
        found = self._names.by_filenode(file.database, file.tablespace, file.filenode)
        return _from_backup(found) if found else None

    def catalog_file(self, database: int, catalog: int) -> int:
        """The file of a system catalog in the backup; at first it has its OID as a name."""
        found = self._names.relation(database, catalog) if self._names else None
        return found.filenode if found and found.filenode else catalog

    def database(self, oid: int) -> str | None:
        """A database's name."""
        found = self._names.databases.get(oid) if self._names else None
        return found.name if found else self._databases.get(oid)

    def tablespace(self, oid: int) -> str | None:
        """A tablespace's name."""
        return self._names.tablespaces.get(oid) if self._names else None

    def _schema(self, database: int, oid: int) -> str | None:
        if (database, oid) in self._schemas:
            return self._schemas[database, oid]
        known = self._names.databases.get(database) if self._names else None
        return known.schemas.get(oid) if known else None


def _from_backup(found: RelationName) -> Known:
    return Known(
        oid=found.oid,
        schema=found.schema or None,
        name=found.name,
        kind=found.kind,
        persistence=found.persistence,
        rows=found.rows,
        filenode=found.filenode,
    )


def is_system(relation: Known | None, filenode: int) -> bool:
    """Whether a relation belongs to PostgreSQL itself."""
    if relation is None:
        return filenode < FIRST_NORMAL_OID
    return relation.oid < FIRST_NORMAL_OID or relation.schema in ("pg_catalog", "pg_toast")
