"""Connection strings (libpq's `key=value` form or a URI)."""

from __future__ import annotations


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
