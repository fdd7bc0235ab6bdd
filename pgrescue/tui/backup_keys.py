"""The keys of the screens that take backups and look through them, and the ways there."""

from __future__ import annotations

from pgrescue.tui.key import Key

BACKUP_KEYS: tuple[Key, ...] = (
    Key(
        "backup",
        "b",
        "b",
        "backup...",
        "Choose how a new backup is taken. Nothing is done before you have confirmed its plan.",
        ("overview", "catalog"),
    ),
    Key(
        "verify",
        "v",
        "v",
        "verify",
        "Read the backup under the cursor to its end and compare it with its manifest.",
        ("catalog",),
    ),
    Key(
        "make_plan",
        "enter,ctrl+s",
        "enter",
        "make the plan",
        "Make the plan of this backup: a dry run that asks the server and changes nothing.",
        ("backup",),
    ),
    Key(
        "copy",
        "ctrl+y,f4",
        "ctrl+y",
        "copy command",
        "Copy pg_basebackup's command to the clipboard (OSC 52), where the terminal allows it.",
        ("backup",),
    ),
    Key(
        "explain",
        "f2",
        "f2",
        "explain",
        "Explain every field and its values, and the command line that asks for the same.",
        ("backup",),
    ),
    Key(
        "tab(3)",
        "3",
        "3",
        "command",
        "Show the choices and pg_basebackup's command.",
        ("backup_plan",),
        footer=False,
    ),
    Key(
        "copy",
        "y",
        "y",
        "copy command",
        "Copy pg_basebackup's command to the clipboard (OSC 52), where the terminal allows it.",
        ("backup_plan",),
        footer=False,
    ),
)
