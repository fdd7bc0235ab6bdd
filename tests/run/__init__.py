"""Tests of the journal, the state it folds to, and what moves and deletes data."""
