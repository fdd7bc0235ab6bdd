"""PostgreSQL's own files and servers: formats, settings by version, processes."""
