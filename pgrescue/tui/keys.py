"""Every key, once: this table feeds bindings, footers, the help screen and the palette."""

from __future__ import annotations

from textual.binding import Binding, BindingType

from pgrescue.tui.backup_keys import BACKUP_KEYS
from pgrescue.tui.history_keys import HISTORY_KEYS, WAYS_THERE
from pgrescue.tui.key import Key

ANYWHERE = (
    "overview",
    "catalog",
    "target",
    "plan",
    "backup",
    "backup_plan",
    "verify",
    "run",
    "page",
    "timeline",
    "incidents",
)
_PLANS = ("plan", "backup_plan")

SCREEN_TITLES = {
    "overview": "Overview",
    "catalog": "Backups",
    "target": "Target",
    "timeline": "WAL timeline",
    "incidents": "Incidents",
    "plan": "Plan",
    "backup": "Backup",
    "backup_plan": "Plan of a backup",
    "verify": "Verification",
    "run": "Run",
    "page": "Text pages: report, log, help",
}


KEYS: tuple[Key, ...] = (
    Key(
        "open",
        "enter",
        "enter",
        "backups",
        "Choose what is under the cursor: a cluster leads to its backups, a run to its screen.",
        ("overview",),
    ),
    Key(
        "open",
        "enter",
        "enter",
        "choose",
        "Go on to the target with this backup; 'auto' takes "
        "the newest one that reaches the target.",
        ("catalog",),
    ),
    Key(
        "make_plan",
        "enter,ctrl+s",
        "enter",
        "make the plan",
        "Make the plan: a dry run that changes nothing.",
        ("target",),
    ),
    *BACKUP_KEYS,
    *WAYS_THERE,
    Key(
        "execute",
        "enter",
        "enter",
        "execute...",
        "Ask for confirmation, then execute exactly "
        "this plan. Not offered while a check blocks it.",
        _PLANS,
    ),
    Key(
        "actions",
        "a",
        "a",
        "actions...",
        "What can be done with this run now: promote, resume, undo, discard, stop.",
        ("run",),
    ),
    Key(
        "explain",
        "e",
        "e",
        "explain",
        "Explain what is under the cursor: the command, what it changes, how to undo it.",
        (*_PLANS, "run"),
    ),
    Key(
        "explain",
        "e",
        "e",
        "explain",
        "Explain what is under the cursor, and the command line that shows the same.",
        ("overview", "catalog"),
        footer=False,
    ),
    Key(
        "explain",
        "f2",
        "f2",
        "explain",
        "Explain the field under the cursor, and the command line that asks for the same.",
        ("target",),
    ),
    Key(
        "next_tab",
        "right,l",
        "right",
        "next tab",
        "Show the next part of the plan.",
        _PLANS,
        footer=False,
    ),
    Key(
        "previous_tab",
        "left,h",
        "left",
        "previous tab",
        "Show the previous part of the plan.",
        _PLANS,
        footer=False,
    ),
    Key(
        "tab(1)",
        "1",
        "1",
        "checks",
        "Show what the preflight checks found.",
        _PLANS,
        footer=False,
    ),
    Key("tab(2)", "2", "2", "steps", "Show the steps.", _PLANS, footer=False),
    Key(
        "tab(3)",
        "3",
        "3",
        "settings",
        "Show what is written to postgresql.auto.conf.",
        ("plan",),
        footer=False,
    ),
    Key(
        "tab(4)",
        "4",
        "4",
        "space",
        "Show what the file systems need and have.",
        ("plan",),
        footer=False,
    ),
    Key(
        "tab(5)",
        "5",
        "5",
        "commands",
        "Show the whole plan as a shell script.",
        ("plan",),
        footer=False,
    ),
    Key("write", "w", "w", "write", "Write the plan as text to a file.", _PLANS),
    Key(
        "filter",
        "slash",
        "/",
        "filter",
        "Show only the backups that contain a text; esc shows all again.",
        ("catalog",),
        footer=False,
    ),
    Key("log", "l", "l", "log", "What the run's programs said, on a screen of its own.", ("run",)),
    Key(
        "report",
        "r",
        "r",
        "report",
        "The report: each step and command, its time and result.",
        ("run",),
        footer=False,
    ),
    Key(
        "copy",
        "y",
        "y",
        "copy path",
        "Copy the file's path to the clipboard (OSC 52), where the terminal allows it.",
        ("page",),
    ),
    Key(
        "freeze",
        "space",
        "space",
        "freeze",
        "Freeze the log, or follow it again.",
        ("page",),
        footer=False,
    ),
    Key("refresh", "R", "R", "refresh", "Look again.", ("overview",), footer=False),
    Key("refresh", "R", "R", "refresh", "Read the catalog again.", ("catalog",), footer=False),
    Key(
        "refresh",
        "R",
        "R",
        "plan again",
        "Make the plan again, with the same choices.",
        _PLANS,
        footer=False,
    ),
    Key(
        "help",
        "question_mark,f1",
        "?",
        "help",
        "This list of keys.",
        ("overview", "catalog", *_PLANS, "run", "verify"),
    ),
    Key("help", "f1", "f1", "help", "The list of keys.", ("target", "backup")),
    Key(
        "palette",
        "colon,ctrl+p",
        ":",
        "more",
        "Find an action by its name.",
        ("overview", *_PLANS, "run"),
        palette=False,
    ),
    Key(
        "palette",
        "colon,ctrl+p",
        ":",
        "more",
        "Find an action by its name.",
        ("catalog",),
        footer=False,
        palette=False,
    ),
    Key(
        "palette",
        "ctrl+p",
        "ctrl+p",
        "more",
        "Find an action by its name.",
        ("target", "backup"),
        footer=False,
        palette=False,
    ),
    Key(
        "back",
        "q",
        "q",
        "quit",
        "Leave. A run at work goes on.",
        ("overview",),
        palette=False,
    ),
    Key(
        "back",
        "q,escape",
        "q",
        "back",
        "Go back.",
        ("catalog", *_PLANS, "page", "verify"),
        palette=False,
    ),
    Key("back", "escape", "esc", "back", "Go back.", ("target", "backup"), palette=False),
    Key(
        "back",
        "q,escape",
        "q",
        "detach",
        "Leave the run's screen; the run itself goes on.",
        ("run",),
        palette=False,
    ),
    *HISTORY_KEYS,
    Key(
        "app.quit",
        "ctrl+q,ctrl+c",
        "ctrl+q",
        "quit",
        "Leave pgrescue. A run at work goes on; open pgrescue again to see it.",
        ANYWHERE,
        footer=False,
    ),
)

_SHOWN = {
    "question_mark": "?",
    "slash": "/",
    "colon": ":",
    "escape": "esc",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "comma": ",",
    "full_stop": ".",
    "plus": "+",
    "minus": "-",
    "equals_sign": "=",
    "underscore": "_",
}
"""Textual's names of keys, as they are printed on them."""

MOVEMENT = (
    ("up down j k", "Move by one."),
    ("g G home end", "To the first, to the last."),
    ("pgup pgdn", "Move by a page."),
    ("tab shift+tab", "To the next part of the screen, to the previous."),
)


def keys_of(screen: str) -> tuple[Key, ...]:
    """The keys of one screen, in the order of the footer."""
    return tuple(key for key in KEYS if screen in key.screens)


def bindings_of(screen: str) -> list[BindingType]:
    """The same for Textual; those of the app are bound there."""
    return [
        Binding(key.keys, key.action, key.label, show=key.footer)
        for key in keys_of(screen)
        if not key.action.startswith("app.")
    ]


def footer_text(screen: str, width: int) -> str:
    """As many keys as fit, the way back always among them."""
    shown = [f"{key.shown} {key.label}" for key in keys_of(screen) if key.footer]
    *others, last = shown
    while others and len("  ".join((*others, last))) > width:
        others.pop()
    return "  ".join((*others, last))


def help_text(screen: str) -> str:
    """The help page: this screen's keys first, then those of the others."""
    order = (screen, *(name for name in SCREEN_TITLES if name != screen))
    blocks = [_block("Moving", MOVEMENT)]
    for name in order:
        if name in SCREEN_TITLES:
            rows = tuple((_names(key), key.help) for key in keys_of(name))
            blocks.append(_block(SCREEN_TITLES[name], rows))
    return "\n\n".join((blocks[1], blocks[0], *blocks[2:]))


def _names(key: Key) -> str:
    return " ".join(_SHOWN.get(name, name) for name in key.keys.split(","))


def _block(title: str, rows: tuple[tuple[str, str], ...]) -> str:
    return "\n".join([title, *(f"  {keys:<14} {words}" for keys, words in rows)])
