"""A short look into a running server, over its socket as its owner."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
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

    try:
        with _connect(server, account, conninfo) as connection:
            yield connection
    except (psycopg.Error, OSError) as error:
        raise CannotAskServer("The running server could not be asked.", str(error).strip()) from (
            error
        )


def _connect(
    server: Postmaster, account: Account, conninfo: str
) -> psycopg.Connection[tuple[Any, ...]]:
    """Connect as the role named in `conninfo`, else as the account's or as `postgres`."""
    import psycopg
    from psycopg.conninfo import make_conninfo

    from pgrescue.postgres.probe import connection_parameters

    parameters = connection_parameters(server, account, conninfo)
    roles = [parameters["user"]]
    if roles[0] == account.name != "postgres":
        roles.append("postgres")
    for role in roles[:-1]:
        with suppress(psycopg.OperationalError), account.assumed():
            return psycopg.connect(make_conninfo("", **{**parameters, "user": role}))
    with account.assumed():
        return psycopg.connect(make_conninfo("", **{**parameters, "user": roles[-1]}))
