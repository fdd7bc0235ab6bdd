"""The catalogue of failures, by what they are about. Texts: PostgreSQL 12 to 18, English.

Where versions differ in wording, a rule has one pattern that takes all of them or one for each:
names of settings stand in quotes since 17, a primary was a master until 12.
"""

from __future__ import annotations

from pgrescue.explain.rule import Rule
from pgrescue.explain.rules.archive import ARCHIVE
from pgrescue.explain.rules.backup_tools import BACKUP_TOOLS
from pgrescue.explain.rules.data import DATA
from pgrescue.explain.rules.machine import MACHINE
from pgrescue.explain.rules.serving import SERVING
from pgrescue.explain.rules.settings import SETTINGS
from pgrescue.explain.rules.targets import TARGETS
from pgrescue.explain.rules.wal import WAL

CATALOGUE: tuple[Rule, ...] = (
    *SETTINGS,
    *DATA,
    *MACHINE,
    *ARCHIVE,
    *WAL,
    *TARGETS,
    *SERVING,
    *BACKUP_TOOLS,
)
"""In this order: the first rule that knows a message explains it."""
