"""`fetch-wal`: the shell script that recovery calls for each WAL file; it needs no pgrescue.

Contract: `RestoreArchivedFile` in `src/backend/access/transam/xlogarchive.c`. Exit 1 to 125 means
"not there" and may end recovery; 126 and more stops it. So only a file that no source has gives 1,
and everything else that goes wrong gives 255.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from pgrescue.compression import SHELL_DECOMPRESSORS
from pgrescue.wal.segment import DIGEST_LENGTH

NAME = "fetch-wal"

_HEAD = """\
#!/bin/sh
# Fetches one WAL file for recovery: fetch-wal NAME DESTINATION [OLDEST]
# Exit 0: fetched. 1: no source has it. 255: a source failed or its copy is damaged,
# and recovery must stop here instead of ending early.
set -u
name=$1
destination=$2
oldest=${{3:-}} # the oldest file that a restart of recovery would need
segment_size={segment_size}
temporary=$destination.fetch-wal.$$
damaged=
trap 'rm -f "$temporary"' EXIT

stop() {{
    echo "fetch-wal: $1" >&2
    exit 255
}}

deliver() {{ # deliver SOURCE: keep what arrived if it is whole
    case $name in
    *.history) ;;
    *)
        size=$(wc -c <"$temporary")
        if [ "$size" -ne "$segment_size" ]; then
            echo "fetch-wal: $1 has $size bytes instead of $segment_size" >&2
            damaged=$1
            return
        fi
        ;;
    esac
    mv -f "$temporary" "$destination" || stop "cannot write $destination"
    exit 0
}}
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
            [ -f "$file" ] || continue
            unpack "$file" >"$temporary" || stop "cannot read $file"
            deliver "$file"
        done
    done
done
"""

_COMMAND = """
# The configured restore_command, with its placeholders filled in.
configured={command}
line=$(printf '%s\\n' "$configured" | sed \\
    -e "s|%%|\\x01|g" -e "s|%f|$name|g" -e "s|%p|$temporary|g" -e "s|%r|$oldest|g" \\
    -e "s|\\x01|%|g")
sh -c "$line"
status=$?
if [ "$status" -eq 0 ] && [ -f "$temporary" ]; then
    deliver "the configured restore_command"
elif [ "$status" -gt 125 ]; then
    stop "the configured restore_command failed with exit code $status"
fi
"""

_TAIL = """
[ -z "$damaged" ] || stop "no other source has an undamaged copy of $name"
exit 1
"""


def fetch_wal_script(
    directories: Sequence[str], restore_command: str | None, segment_size: int
) -> str:
    """The script's text: the configured command first, then each directory in turn."""
    unpackers = "".join(
        f'    *{ending}) {command} <"$1" ;;\n' for ending, command in SHELL_DECOMPRESSORS.items()
    )
    parts = [_HEAD.format(segment_size=segment_size)]
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
    return "".join([*parts, _TAIL])


def restore_command_for(script: str) -> str:
    """The `restore_command` setting that calls the script, whatever its path looks like."""
    return f'{shlex.quote(script).replace("%", "%%")} "%f" "%p" "%r"'
