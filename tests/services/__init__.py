"""Services that stop and start a server, the accounts that pgrescue runs as, and terminals."""
