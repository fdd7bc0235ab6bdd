"""Connection strings (libpq's `key=value` form or a URI)."""

from __future__ import annotations

from collections.abc import Mapping

TO_THE_SOURCE = ("PGPASSWORD", "PGSERVICEFILE", "PGSYSCONFDIR")
"""What a plan cannot hold of the way to the server that is backed up, or a standby filled from."""
_KEYS = ("scram_client_key", "scram_server_key")
"""As good as a password, though libpq marks them for debugging only."""


def without_the_source(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment for programs that have no business with that server."""
    return {name: value for name, value in environment.items() if name not in TO_THE_SOURCE}


def secrets_in(parameters: Mapping[str, object]) -> tuple[str, ...]:
    """Which of the parameters are secret: those that libpq has hidden where they are typed.

    `dispchar` of `PQconninfoOption` is an asterisk for them.
    """
    from psycopg import pq

    options = pq.Conninfo.get_defaults()
    secret = {option.keyword.decode() for option in options if b"*" in (option.dispchar or b"")}
    return tuple(name for name in parameters if name in secret or name in _KEYS)


def without_address(conninfo: str) -> str:
    """The parameters but for host and port, for servers whose address is learnt from themselves.

    A restored server's questions must never reach another one, such as the cluster that a clone
    was made from. Raises `psycopg.ProgrammingError` for what is no connection string.
    """
    # Late, because whoever imports plans shall not pay for a database driver.
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    address = ("host", "hostaddr", "port")
    parameters = conninfo_to_dict(conninfo)
    kept = {name: value for name, value in parameters.items() if name not in address}
    return make_conninfo("", **kept)
