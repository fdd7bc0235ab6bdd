"""What the fields of a backup mean: from what was typed to a checked request, and back."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from pgrescue.backup.choices import LEVELS, choice
from pgrescue.backup.text import value_text
from pgrescue.codec import from_plain
from pgrescue.config.backup_request import NEWEST, BackupRequest
from pgrescue.errors import UsageError
from pgrescue.postgres.basebackup_options import (
    compression_text,
    mapping_from,
    rate_from,
    rate_text,
)

LABELS = {
    "source": "Source",
    "destination": "Destination",
    "name": "Name",
    "format": "Format",
    "compression": "Compress",
    "side": "by",
    "level": "Level",
    "wal_method": "WAL",
    "checkpoint": "Checkpoint",
    "max_rate": "Max rate",
    "label": "Label",
    "incremental": "Incremental",
    "parent": "Upon",
    "manifest_checksums": "Checksums",
    "verify": "Verify",
    "mappings": "Tablespaces",
}
"""Every field but those of tablespaces that are known, in their order."""
_OF_METHOD = ("none", "gzip", "lz4", "zstd")
CHOOSABLE: dict[str, tuple[str, ...]] = {
    name: _OF_METHOD if name == "compression" else tuple(v for v, _ in choice(name).values)
    for name in (
        "format",
        "compression",
        "side",
        "wal_method",
        "checkpoint",
        "incremental",
        "manifest_checksums",
        "verify",
    )
}
"""Fields with a few words to choose from; the others are typed."""


class WrongField(UsageError):
    """What was typed into one field cannot be understood; known tablespaces are ts0, ts1, ..."""

    def __init__(self, field: str, title: str, cause: str = "") -> None:
        super().__init__(title, cause)
        self.field = field


@dataclass(frozen=True, slots=True)
class BackupForm:
    """The fields as they stand."""

    source: str = ""
    destination: str = ""
    name: str = ""
    format: str = "tar"
    compression: str = "none"
    side: str = "client"
    level: str = ""
    wal_method: str = "stream"
    checkpoint: str = "auto"
    max_rate: str = ""
    label: str = ""
    incremental: str = "no"
    parent: str = ""
    manifest_checksums: str = "CRC32C"
    verify: str = "yes"
    mappings: str = ""
    tablespaces: tuple[tuple[str, str], ...] = ()
    """Location and place of each tablespace that is known."""

    def shows(self, field: str) -> bool:
        """Whether a field matters, with what the others say."""
        match field:
            case "side" | "level":
                return self.compression != "none"
            case "parent":
                return self.incremental == "chosen"
            case "mappings" | "tablespace":
                return self.format == "plain"
            case _:
                return True


def form_of(request: BackupRequest, locations: Sequence[str], parent: str) -> BackupForm:
    """The form that says what was configured; `parent` is proposed for a choice of one."""
    mapped = request.tablespaces
    compression = request.compression
    return BackupForm(
        source=request.source or "",
        destination=request.destination or "",
        name=request.name or "",
        format=request.format,
        compression=compression.method,
        side=compression.side,
        level="" if compression.level is None else str(compression.level),
        wal_method=request.wal_method,
        checkpoint=request.checkpoint,
        max_rate="" if request.max_rate is None else rate_text(request.max_rate),
        label=request.label or "",
        parent=parent,
        manifest_checksums=request.manifest_checksums,
        verify="yes" if request.verify else "no",
        tablespaces=tuple(
            (place, mapped.get(place, "")) for place in dict.fromkeys((*locations, *mapped))
        ),
    )


def read_backup_request(form: BackupForm) -> BackupRequest:
    """The whole request; raises `WrongField`."""
    if form.format == "plain" and form.compression != "none" and form.side == "client":
        raise WrongField(
            "compression",
            "A plain backup is not compressed.",
            "Choose none, or have the server compress what it sends.",
        )
    destination = form.destination.strip()
    if destination and not destination.startswith("/"):
        raise WrongField("destination", f"'{destination}' is no absolute path.")
    plain = {
        "source": form.source.strip() or None,
        "destination": destination or None,
        "name": form.name.strip() or None,
        "format": form.format,
        "compression": {"method": form.compression, "level": _level(form), "side": form.side},
        "wal_method": form.wal_method,
        "checkpoint": form.checkpoint,
        "max_rate": _rate(form),
        "label": form.label.strip() or None,
        "tablespaces": _tablespaces(form),
        "parent": _parent(form),
        "manifest_checksums": form.manifest_checksums,
        "verify": form.verify == "yes",
    }
    return from_plain(plain, BackupRequest)


def field_help(field: str, form: BackupForm) -> str:
    """The field, and the value that it has now, each in a sentence with its cost."""
    name = {"mappings": "tablespaces", "tablespace": "tablespaces"}.get(field, field)
    about = choice(name).about
    if field not in CHOOSABLE:
        return about
    value = str(getattr(form, field))
    return f"{about} {value}: {value_text(name, value)}"


def all_help() -> str:
    """Every field with every value, to be read in peace."""
    lines = []
    for field, label in LABELS.items():
        name = "tablespaces" if field == "mappings" else field
        lines.append(f"{label:<12} {choice(name).about}")
        lines += [
            f"{'':<12} {value}: {about}"
            for value, about in choice(name).values
            if field in CHOOSABLE and value in CHOOSABLE[field]
        ]
    return "\n".join(lines)


def command_line(request: BackupRequest, configured: BackupRequest, cluster: str) -> str:
    """The command that takes the same backup; what is configured so needs no option."""
    words = ["pgrescue", "--cluster", cluster, "backup"]
    options = _as_options(configured)
    for option, value in _as_options(request).items():
        if value is not None and value != options[option]:
            words += [option, value]
    for location, place in request.tablespaces.items():
        if configured.tablespaces.get(location) != place:
            words += ["--tablespace", f"{location}={place}"]
    words += ["--no-verify"] if configured.verify and not request.verify else []
    return shlex.join(words)


def beyond_options(request: BackupRequest, configured: BackupRequest) -> tuple[str, ...]:
    """What was taken out of the configured choices: only the configuration can say that."""
    asked = _as_options(request)
    options = [
        option
        for option, value in _as_options(configured).items()
        if value is not None and asked[option] is None
    ]
    options += ["--no-verify"] if request.verify and not configured.verify else []
    left_out = configured.tablespaces.keys() - request.tablespaces.keys()
    return (*options, *(f"--tablespace {location}" for location in sorted(left_out)))


def _as_options(request: BackupRequest) -> dict[str, str | None]:
    return {
        "--source": request.source,
        "--destination": request.destination,
        "--name": request.name,
        "--format": request.format,
        "--compress": compression_text(request.compression),
        "--wal-method": request.wal_method,
        "--checkpoint": request.checkpoint,
        "--max-rate": None if request.max_rate is None else rate_text(request.max_rate),
        "--label": request.label,
        "--incremental": request.parent,
        "--manifest-checksums": request.manifest_checksums,
    }


def _level(form: BackupForm) -> int | None:
    text = form.level.strip()
    if form.compression == "none" or not text:
        return None
    low, high = LEVELS[form.compression]
    if not text.isdecimal() or not low <= int(text) <= high:
        raise WrongField(
            "level",
            f"'{text}' is no level of {form.compression}.",
            f"It has {low} to {high}.",
        )
    return int(text)


def _rate(form: BackupForm) -> int | None:
    text = form.max_rate.strip()
    with in_field("max_rate"):
        return rate_from(text) if text else None


def _parent(form: BackupForm) -> str | None:
    if form.incremental == "no":
        return None
    if form.incremental == "newest":
        return NEWEST
    if not form.parent.strip():
        raise WrongField("parent", "Upon which backup?", "Type its id, or a beginning of it.")
    return form.parent.strip()


def _tablespaces(form: BackupForm) -> dict[str, str]:
    if not form.shows("mappings"):
        return {}
    found = {}
    for index, (location, place) in enumerate(form.tablespaces):
        if place.strip() and not place.strip().startswith("/"):
            raise WrongField(f"ts{index}", f"'{place.strip()}' is no absolute path.")
        if place.strip():
            found[location] = place.strip()
    with in_field("mappings"):
        found.update(mapping_from(word) for word in _words(form.mappings))
    return found


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UsageError(f"'{text}' cannot be taken apart.", f"{error}.") from error


@contextmanager
def in_field(field: str) -> Iterator[None]:
    """Say in which field an error is."""
    try:
        yield
    except UsageError as error:
        raise WrongField(field, error.title, error.cause) from error
