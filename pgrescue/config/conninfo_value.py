"""Connection strings in the configuration, which hold no secrets."""

from __future__ import annotations

from pgrescue.config.table import Table


def conninfo_of(table: Table, key: str) -> str | None:
    """The string; problems go to the table's list, without the string, which may hold a secret."""
    value = table.text(key)
    if value is None:
        return None
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    from pgrescue.postgres.conninfo import secrets_in

    try:
        parameters = conninfo_to_dict(value)
    except ProgrammingError:
        table.complain(key, "is no connection string: libpq takes KEYWORD=VALUE pairs, or a URI")
        return None
    if secrets := secrets_in(parameters):
        named = ", ".join(secrets)
        table.complain(key, f"holds a password ({named}); put it into the owner's ~/.pgpass")
    return value
