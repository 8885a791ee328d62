"""Lines for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def print_json(values: Mapping[str, Any]) -> None:
    """One object on one line, at once."""
    print(json.dumps(values, ensure_ascii=False), flush=True)
