"""The configuration: which clusters there are, where their backups and WAL archive lie."""
