"""Which backups and which WAL may go: advice, and the sealed plan that removes them."""
