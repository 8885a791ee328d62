"""Lines for a terminal and for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def print_json(values: Mapping[str, Any]) -> None:
    """One object on one line, at once."""
    print(json.dumps(values, ensure_ascii=False), flush=True)


def one_line(text: str) -> str:
    """A name as a terminal may get it: what a file or model brings cannot move the cursor or end the line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
