"""The backup catalog: which base backups there are and what each can be used for."""
