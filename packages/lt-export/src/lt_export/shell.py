"""Commands for a person to copy."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence

WINDOWS = os.name == "nt"

PLAIN = re.compile(r"[\w.:\\/=+-]+")
"""What neither cmd.exe nor PowerShell reads as anything but itself; all other words are quoted there."""

UNQUOTABLE = re.compile('[%"“”„$`]')
"""What cmd.exe or PowerShell reads as more than itself within quotes too."""

NO_LINE = 'a name has a character that no quotes make safe in a shell of Windows, such as %, $ or "'
"""Why there is no line."""


def shell_line(words: Sequence[str]) -> str:
    """Words as one line for the shell of this system, empty where there is none that is safe to copy (`NO_LINE`).

    On Windows it is for cmd.exe and for how programs there take their line apart; PowerShell runs nothing else either.
    """
    if not WINDOWS:
        return shlex.join(words)
    if any(UNQUOTABLE.search(word) or not word.isprintable() for word in words):
        return ""
    return " ".join(word if PLAIN.fullmatch(word) else _quoted(word) for word in words)


def _quoted(word: str) -> str:
    """In double quotes; backslashes before the last would take it for a character, so they are doubled."""
    slashes = len(word) - len(word.rstrip("\\"))
    return f'"{word}{slashes * chr(92)}"'
