"""What identifies a PostgreSQL major version in its files.

WAL page magic: `XLOG_PAGE_MAGIC` in `src/include/access/xlog_internal.h`; catalog version:
`CATALOG_VERSION_NO` in `src/include/catalog/catversion.h`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MajorVersion:
    """One major release and the numbers it stamps on its files."""

    major: int
    wal_magic: int
    catalog_version: int


SUPPORTED = (
    MajorVersion(12, 0xD101, 201909212),
    MajorVersion(13, 0xD106, 202007201),
    MajorVersion(14, 0xD10D, 202107181),
    MajorVersion(15, 0xD110, 202209061),
    MajorVersion(16, 0xD113, 202307071),
    MajorVersion(17, 0xD116, 202406281),
    MajorVersion(18, 0xD118, 202506291),
)

_BY_MAGIC = {version.wal_magic: version.major for version in SUPPORTED}
_MAGIC_OF = {version.major: version.wal_magic for version in SUPPORTED}
_BY_CATALOG = {version.catalog_version: version.major for version in SUPPORTED}
OLDEST, NEWEST = SUPPORTED[0].major, SUPPORTED[-1].major


def major_of_wal_magic(magic: int) -> int | None:
    """The major release that writes WAL pages with this magic number."""
    return _BY_MAGIC.get(magic)


def wal_magic_of(major: int) -> int | None:
    """The magic number on the WAL pages of a major release; None for one that is not known."""
    return _MAGIC_OF.get(major)


def major_of_catalog_version(catalog_version: int) -> int | None:
    """The major release with this catalog version (control versions are shared by 13 to 16)."""
    return _BY_CATALOG.get(catalog_version)
