"""A client that forgets no commit: `python -m THIS CONNINFO NUMBER FILE`.

It commits one transaction after the other, and writes down, and syncs, each that the server has
acknowledged, until the server is gone. Every third transaction is larger, and some are rolled back.
"""

from __future__ import annotations

import os
import sys

import psycopg

PREPARE = """
create table acknowledged (client int, n int, primary key (client, n));
create table load as select n, 0 as value, repeat('x', 200) as filler
  from generate_series(1, 2000) n;
alter table load add primary key (n);
"""
_INSERT = "insert into acknowledged values (%s, %s)"
_UPDATE = "update load set value = value + 1 where n %% 50 = %s"


def main(conninfo: str, client: int, path: str) -> None:
    """Go on until the connection is lost."""
    memory = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    n = 0
    try:
        with psycopg.connect(conninfo) as connection:
            while True:
                n += 1
                connection.execute(_INSERT, (client, n))
                if n % 3 == 0:
                    connection.execute(_UPDATE, (n % 50,))
                if n % 20 == 0:
                    connection.rollback()
                    continue
                connection.commit()
                os.write(memory, b"%d %d\n" % (client, n))
                os.fsync(memory)
    except psycopg.Error:
        return


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
