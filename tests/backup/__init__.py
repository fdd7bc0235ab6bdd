"""Taking base backups and knowing that they are whole."""
