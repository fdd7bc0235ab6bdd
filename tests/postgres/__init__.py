"""Tests of PostgreSQL's file formats."""
