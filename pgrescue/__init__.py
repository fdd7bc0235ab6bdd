"""pgrescue: from "the database is gone" to a running, checked PostgreSQL."""

__version__ = "0.1.0"
