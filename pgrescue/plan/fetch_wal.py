"""`fetch-wal`: the shell script that recovery calls for each WAL file; it needs no pgrescue.

Contract: `RestoreArchivedFile` in `src/backend/access/transam/xlogarchive.c`. Exit 1 to 125 means
"not there" and may end recovery; 126 and more stops it. So only a file that no source has gives 1,
and everything else that goes wrong gives 255. A fast shutdown ends the command with SIGTERM, and
the server takes 143 for that.

What makes a segment is in its first page: `XLogLongPageHeaderData` in
`src/include/access/xlog_internal.h`.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from pgrescue.compression import SHELL_DECOMPRESSORS
from pgrescue.postgres.versions import wal_magic_of
from pgrescue.wal.segment import DIGEST_LENGTH

NAME = "fetch-wal"


@dataclass(frozen=True, slots=True)
class ExpectedWal:
    """What every segment of a cluster has in its first page; None: not known, not compared."""

    segment_size: int
    system_identifier: str | None
    major: int | None


_HEAD = """\
#!/bin/sh
# Fetches one WAL file for recovery: fetch-wal NAME DESTINATION [OLDEST]
# Exit 0: fetched. 1: no source has it. 255: a source failed or its copy is damaged,
# and recovery must stop here instead of ending early.
set -u
LC_ALL=C
export LC_ALL
name=$1
destination=$2
oldest=${{3:-}} # the oldest file that a restart of recovery would need
segment_size={segment_size}
temporary=$destination.fetch-wal.$$
damaged=
trap 'rm -f "$temporary"' EXIT
trap 'exit 143' TERM
trap 'exit 130' HUP INT
for left in "$destination".fetch-wal.*; do # of calls that were killed
    kill -0 "${{left##*.}}" 2>/dev/null || rm -f "$left"
done

stop() {{
    echo "fetch-wal: $1" >&2
    exit 255
}}

{fault}
deliver() {{ # deliver SOURCE: keep what arrived if it is what its name says
    fault=$(fault_of "$temporary")
    if [ -n "$fault" ]; then
        echo "fetch-wal: $1 $fault" >&2
        damaged=$1
        return
    fi
    mv -f "$temporary" "$destination" || stop "cannot write $destination"
    exit 0
}}
"""

_FAULT = """\
fault_of() {{ # fault_of FILE: why it is not the WAL file $name, or nothing
    size=$(wc -c <"$1")
    case $name in
    *.history)
        [ "$size" -gt 0 ] || echo "is empty"
        return
        ;;
    esac
    if [ "$size" -ne {segment_size} ]; then
        echo "has $((size)) bytes instead of {segment_size}"
        return
    fi
    last=${{name#????????????????}}
    log=${{name#????????}}
    position=${{log%????????}}$(printf %08X $((0x$last * {segment_size})))
    # The first page's header, little-endian: magic, flags, timeline, position, ..., identifier.
    set -- $(od -An -v -tu1 -N40 "$1")
    found=$(printf %02X "${{16}}" "${{15}}" "${{14}}" "${{13}}" "${{12}}" "${{11}}" "${{10}}" "$9")
    identifier=$(printf %02X \\
        "${{32}}" "${{31}}" "${{30}}" "${{29}}" "${{28}}" "${{27}}" "${{26}}" "${{25}}")
    magic=$(printf %02X "$2" "$1")
    case $magic in
    {magic}) ;;
    *) echo "holds no WAL of {version}: its first page has the magic number $magic" && return ;;
    esac
    case $identifier in
    {identifier}) ;;
    *) echo "is of another cluster: system identifier $((0x$identifier))" && return ;;
    esac
    [ "$found" = "$position" ] || echo "holds the WAL from $found, not from $position"
}}
"""

_LAST = """
# A clone is made of the WAL that was there when it was planned. What came since was not read
# beforehand, and could create a tablespace: that is, write into the original's directories.
case $name in
*.*) ;;
*)
    if expr "x${{name#????????}}" \\> "x{last}" >/dev/null; then
        echo "fetch-wal: $name is newer than the plan, and recovery ends before it" >&2
        exit 1
    fi
    ;;
esac
"""

_DIRECTORY = """
# Barman and pgBackRest make a directory of the first 16 digits, pgBackRest adds a checksum.
log=$(printf %.16s "$name")
checksum=-{checksum}

unpack() {{ # unpack FILE: to standard output
    case $1 in
{unpackers}    *) cat "$1" ;;
    esac
}}

for directory in {directories}; do
    [ -d "$directory" ] && [ -r "$directory" ] && [ -x "$directory" ] ||
        stop "cannot read the directory $directory"
    if [ -d "$directory/$log" ]; then
        [ -r "$directory/$log" ] && [ -x "$directory/$log" ] ||
            stop "cannot read the directory $directory/$log"
    fi
    for ending in "" {endings}; do
        for file in \\
            "$directory/$name$ending" "$directory/$name"$checksum"$ending" \\
            "$directory/$log/$name$ending" "$directory/$log/$name"$checksum"$ending"
        do
            [ ! -L "$file" ] || [ -e "$file" ] || stop "$file is a link that leads nowhere"
            [ -f "$file" ] || continue
            if unpack "$file" >"$temporary"; then
                deliver "$file"
            else
                echo "fetch-wal: cannot read $file or write $temporary" >&2
                damaged=$file
            fi
        done
    done
done
"""

_NOT_EMPTY = """
# There was WAL in the archive when the plan was made. If there is none at all any more, what it
# lacks proves nothing: it may not be mounted.
is_empty=yes
for file in {archive}/{wal}*; do
    [ ! -e "$file" ] || {{ is_empty= && break; }}
done
[ -z "$is_empty" ] || stop {archive}" has no WAL any more: is it mounted?"
"""
_EIGHT_DIGITS = "[0-9A-F]" * 8
"""How names of WAL files begin, and of the directories of Barman and pgBackRest."""

_COMMAND = """
# The configured restore_command, with its placeholders filled in.
configured={command}
ask() {{ # ask NAME
    line=$(printf '%s\\n' "$configured" | sed \\
        -e "s|%%|\\x01|g" -e "s|%f|$1|g" -e "s|%p|$temporary|g" -e "s|%r|$oldest|g" \\
        -e "s|\\x01|%|g")
    sh -c "$line"
    status=$?
    if [ "$status" -gt 125 ]; then
        stop "the configured restore_command failed with exit code $status"
    elif [ "$status" -eq 0 ] && [ ! -f "$temporary" ]; then
        stop "the configured restore_command said that it fetched $1, and there is nothing"
    fi
    return "$status"
}}
if ask "$name"; then
    deliver "the configured restore_command's copy"
fi
rm -f "$temporary"
"""

_PROVEN = """
# The command has fetched this file before. If it now says of this one, too, that it is not
# there, then it could not look.
proven={proven}
if [ -z "$damaged" ] && ! ask "$proven"; then
    stop "the configured restore_command does not find $proven any more: no answer to rely on"
fi
rm -f "$temporary"
"""

_TAIL = """
[ -z "$damaged" ] || stop "no other source has an undamaged copy of $name"
exit 1
"""


def fault_function(wal: ExpectedWal) -> str:
    """`fault_of FILE` in POSIX shell: why a file is not the WAL file `$name`; else nothing."""
    magic = wal_magic_of(wal.major) if wal.major is not None else None
    return _FAULT.format(
        segment_size=wal.segment_size,
        magic=f"{magic:04X}" if magic is not None else "D1??",
        version=f"PostgreSQL {wal.major}" if magic is not None else "PostgreSQL",
        identifier=f"{int(wal.system_identifier):016X}" if wal.system_identifier else "*",
    )


def fetch_wal_script(
    directories: Sequence[str],
    restore_command: str | None,
    wal: ExpectedWal,
    proven: str | None = None,
    *,
    not_empty: str | None = None,
    last: str | None = None,
) -> str:
    """The script's text: the configured command first, then each directory in turn.

    `proven`: a file that the configured command is known to have; `not_empty`: a
    directory, the archive, that is known to hold WAL; `last`: the segment behind which
    there is nothing to fetch, on any timeline.
    """
    unpackers = "".join(
        f'    *{ending}) {command} <"$1" ;;\n' for ending, command in SHELL_DECOMPRESSORS.items()
    )
    parts = [_HEAD.format(segment_size=wal.segment_size, fault=fault_function(wal))]
    if last is not None:
        parts.append(_LAST.format(last=last[8:]))
    if restore_command:
        parts.append(_COMMAND.format(command=shlex.quote(restore_command)))
    if directories:
        listed = " ".join(shlex.quote(directory) for directory in directories)
        parts.append(
            _DIRECTORY.format(
                directories=listed,
                unpackers=unpackers,
                endings=" ".join(SHELL_DECOMPRESSORS),
                checksum="[0-9a-f]" * DIGEST_LENGTH,
            )
        )
    if not_empty is not None:
        parts.append(_NOT_EMPTY.format(archive=shlex.quote(not_empty), wal=_EIGHT_DIGITS))
    if restore_command and proven:
        parts.append(_PROVEN.format(proven=shlex.quote(proven)))
    return "".join([*parts, _TAIL])


def restore_command_for(script: str) -> str:
    """The `restore_command` setting that calls the script, whatever its path looks like."""
    return f'{shlex.quote(script).replace("%", "%%")} "%f" "%p" "%r"'
