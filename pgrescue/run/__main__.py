"""The runner's process: `python -m pgrescue.run RUN_DIRECTORY PURPOSE`, started by `launch`."""

import sys
from pathlib import Path
from typing import get_args

from pgrescue.errors import PgRescueError
from pgrescue.run.launch import REFUSED
from pgrescue.run.records import Purpose
from pgrescue.run.run_directory import RunDirectory
from pgrescue.run.runner import run


def main(path: str, wanted: str) -> None:
    """Run until the journal says `finished`; what comes before the journal goes to stderr."""
    purposes: dict[str, Purpose] = {name: name for name in get_args(Purpose)}
    try:
        run(RunDirectory(Path(path)), purposes[wanted])
    except PgRescueError as error:
        sys.exit("\n".join((f"{REFUSED}{error.title} {error.cause}", *error.next_steps)))
    except OSError as error:
        where = f" at {error.filename}" if error.filename else ""
        sys.exit(f"The operating system refused{where}: {error.strerror or error}.")


if __name__ == "__main__":
    main(*sys.argv[1:])
