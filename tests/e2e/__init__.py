"""Restores from end to end: real servers, real backups, judged by the rows that are there."""
