"""Help as plain text: quick to write, and to read with any terminal, pager or screen reader."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lightly_train.cli.kinds import shown
from lightly_train.cli.options import Option, dashed, group_of

if TYPE_CHECKING:
    from cyclopts.help import HelpEntry, HelpPanel
    from rich.console import Console, ConsoleOptions

LABEL_COLUMNS = 28
"""A longer label has its description below it."""
MAX_COLUMNS = 110
WORDS = {"True": "true", "False": "false", "None": "null"}
"""Values of Python as they are typed."""


class HelpText:
    """Writes the help of commands that cyclopts runs; a formatter as it takes one."""

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
        """One panel: a title, then a row for each option or command."""
        if panel.entries:
            _write(
                console, "\n".join([f"{panel.title}:", *(line for one in panel.entries for line in _entry(one)), ""])
            )

    def render_usage(self, console: Console, options: ConsoleOptions, usage: Any) -> None:
        """The line of the usage."""
        _write(console, f"Usage: {str(usage).strip().removeprefix('Usage: ')}\n")

    def render_description(self, console: Console, options: ConsoleOptions, description: Any) -> None:
        """What a command does."""
        if _plain(description):
            _write(console, paragraph(_plain(description)))


def groups_of(options: Sequence[Option]) -> tuple[str, ...]:
    """The headings in help, in their order."""
    return tuple(dict.fromkeys(map(group_of, options)))


def nested_help(name: str, summary: str, options: Sequence[Option], positional: Sequence[str], epilog: str) -> str:
    """The help of a command with options for the keys of settings."""
    required = [option for option in options if option.required and option.place[0] not in positional]
    words = [word.upper() for word in positional] + [f"{one.name} {one.place[0].upper()}" for one in required]
    usage = f"Usage: lightly-train {name} {' '.join(words)} [OPTIONS]\n"
    groups = [group_help(group, options, positional) for group in groups_of(options)]
    one = f"`lightly-train {name} --help {groups_of(options)[-1]}` shows one group alone."
    return "\n".join([usage, paragraph(summary), *groups, paragraph(f"{one} {epilog}")])


def group_help(group: str, options: Sequence[Option], positional: Sequence[str]) -> str:
    """The part of the help below one heading."""
    lines, whole = [f"{group}:"], {(name,) for name in positional}
    for option in options:
        if group_of(option) == group:
            label = _flags(option) if option.kind is bool else [f"{option.name} {option.shown_kind}"]
            label = [option.place[0].upper(), *label] if option.place in whole else label
            default = option.shown_default
            lines += _row(", ".join(label), option.description, required=option.required, default=default)
    return "\n".join([*lines, ""])


def _flags(option: Option) -> list[str]:
    off = "--" + dashed(".".join((*option.place[:-1], f"no_{option.place[-1]}")))
    return [option.name, off] if option.default is True else [option.name]


def paragraph(text: str) -> str:
    """Text in lines, and an empty one."""
    return textwrap.fill(text, _columns()) + "\n"


def _entry(entry: HelpEntry) -> list[str]:
    labels = [*entry.positive_names, *entry.positive_shorts, *entry.negative_names]
    positional = getattr(entry, "positional_label", None)
    labels = [*([positional] if positional else []), *labels]
    kind = shown(entry.type) if entry.type not in (None, bool) else ""
    labels = [f"{label} {kind}".strip() if label.startswith("--") else label for label in labels]
    default = "" if entry.default is None else WORDS.get(entry.default, entry.default)
    return _row(", ".join(labels), _plain(entry.description), required=entry.required, default=default)


def _row(label: str, text: str, *, required: bool, default: str) -> list[str]:
    note = "[required]" if required else f"[default: {default}]" if default else ""
    indent = " " * (LABEL_COLUMNS + 4)
    text = " ".join(part for part in (text, note) if part)
    rows = textwrap.wrap(text, _columns(), initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
    if rows and len(label) <= LABEL_COLUMNS:
        return [f"  {label:<{LABEL_COLUMNS}}  {rows[0].strip()}", *rows[1:]]
    return [f"  {label}", *rows]


def _columns() -> int:
    return max(LABEL_COLUMNS + 20, min(shutil.get_terminal_size().columns, MAX_COLUMNS))


def _plain(described: Any) -> str:
    """What cyclopts has as a description, as text of one line."""
    return " ".join(str(getattr(described, "primary_renderable", described) or "").split())


def _write(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
