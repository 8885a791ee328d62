"""Descriptions of arguments, from docstrings in Google's style."""

from __future__ import annotations

import inspect
import re
from typing import Any

ENTRY = re.compile(r"( +)(\w+): (.*)")


def summary(described: Any) -> str:
    """The first paragraph."""
    return " ".join((inspect.getdoc(described) or "").partition("\n\n")[0].split())


def descriptions(described: Any) -> dict[str, str]:
    """By name, from the section `Args:` or `Attributes:`; none where there is no such section."""
    found: dict[str, str] = {}
    _, _, section = re.sub(r"^(Args|Attributes):$", "\0", inspect.getdoc(described) or "", flags=re.M).partition("\0")
    name = ""
    for line in section.splitlines():
        entry = ENTRY.fullmatch(line)
        if line and not line.startswith(" "):
            break
        if entry is not None and len(entry[1]) == 4:
            name = entry[2]
            found[name] = entry[3]
        elif name and line.strip():
            found[name] += " " + line.strip()
    return found
