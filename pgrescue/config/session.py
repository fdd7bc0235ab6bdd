"""A short look into a running server, over its socket as its owner."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pgrescue.errors import PgRescueError
from pgrescue.postgres.account import Account
from pgrescue.postgres.postmaster import Postmaster

if TYPE_CHECKING:
    import psycopg


class CannotAskServer(PgRescueError):
    """A running server could not be asked; the cause is in the server's or libpq's words."""


@contextmanager
def server_session(
    server: Postmaster, account: Account, conninfo: str = ""
) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """A connection with short time limits; raises `CannotAskServer`, also for failing queries.

    The account is assumed only while connecting, when the server checks who its peer is.
    """
    import psycopg

    from pgrescue.postgres.probe import connect, connection_parameters

    try:
        with connect(connection_parameters(server, account, conninfo), account) as connection:
            yield connection
    except (psycopg.Error, OSError) as error:
        raise CannotAskServer("The running server could not be asked.", str(error).strip()) from (
            error
        )
