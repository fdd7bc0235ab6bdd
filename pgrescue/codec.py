r"""Dataclasses to JSON and back, the same way for plans, journals, caches and `--json`.

Times are RFC 3339 in UTC, LSNs PostgreSQL's `X/X` text; absent values are null. A byte of a name
that is not UTF-8 is kept as the lone surrogate that Python makes of it, such as `\udcff`: text
with one goes through the standard library, whose JSON can hold it.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, TypeVar

import msgspec

from pgrescue.postgres.lsn import Lsn

T = TypeVar("T")

SCHEMA = 1
"""Version of every JSON object that pgrescue prints or keeps."""


def _encode(value: object) -> object:
    if isinstance(value, Lsn):
        return str(value)
    raise NotImplementedError(f"{type(value).__name__} has no JSON form")


def _decode(wanted: type, value: object) -> object:
    if wanted is Lsn and isinstance(value, str):
        return Lsn.parse(value)
    raise NotImplementedError(f"{wanted.__name__} cannot be read from JSON")


def to_plain(value: object) -> Any:  # noqa: ANN401 - JSON-like by nature
    """Turn dataclasses into dicts, lists, strings and numbers, ready for JSON."""
    return msgspec.to_builtins(value, enc_hook=_encode)


def from_plain(value: object, wanted: type[T]) -> T:
    """Build `wanted` from what `to_plain` made; raises `msgspec.ValidationError`."""
    return msgspec.convert(value, wanted, dec_hook=_decode, str_keys=True)


def dumps(value: object, *, indent: int = 0) -> str:
    """JSON text of a dataclass or of plain data; one line unless `indent` is given."""
    try:
        encoded = msgspec.json.encode(value, enc_hook=_encode)
    except UnicodeEncodeError:
        separators = None if indent else (",", ":")
        return json.dumps(to_plain(value), indent=indent or None, separators=separators)
    return (msgspec.json.format(encoded, indent=indent) if indent else encoded).decode()


def loads(text: str | bytes) -> Any:  # noqa: ANN401 - JSON-like by nature
    """Plain data from JSON text; raises `msgspec.DecodeError`."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        if not has_surrogates(text):
            raise
    try:
        return json.loads(text)
    except ValueError as error:
        raise msgspec.DecodeError(str(error)) from error


def has_surrogates(text: str | bytes) -> bool:
    """Whether JSON text may hold a name that is not UTF-8."""
    return b"\\udc" in text if isinstance(text, bytes) else "\\udc" in text


def fingerprint(value: object) -> str:
    """SHA-256 of the canonical JSON (sorted keys, no spaces): equal data, equal text."""
    plain = to_plain(value)
    try:
        canonical = msgspec.json.encode(plain, order="sorted")
    except UnicodeEncodeError:
        canonical = json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()
    return hashlib.sha256(canonical).hexdigest()
