"""Which directory an `archive_command` writes to, where that can be read off it."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from pgrescue.compression import split_ending


def archive_directory(command: str) -> Path | None:
    """DIR of commands like `cp %p DIR/%f` or `test ! -f DIR/%f && gzip < %p > DIR/%f.gz`.

    None if there is no such word, or several directories, or a remote one.
    """
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    try:
        words = list(lexer)
    except ValueError:
        return None
    found = set()
    for word in words:
        directory, name = os.path.split(split_ending(word)[0])
        if name == "%f" and directory.startswith("/"):
            found.add(directory)
    if len(found) != 1 or "%p" not in command:
        return None
    return Path(found.pop().replace("%%", "%"))
