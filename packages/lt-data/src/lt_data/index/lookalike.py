"""Names that no screen tells apart."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

UNSEEN = ("Cc", "Cf", "Zl", "Zp")
"""Unicode categories of characters that no screen shows, blanks aside."""


def lookalike(name: str, candidates: Iterable[str]) -> str | None:
    """A sentence on the candidate that looks like `name` and is another name; None where there is none."""
    looks = _looks(name)
    twin = next((candidate for candidate in candidates if candidate != name and _looks(candidate) == looks), None)
    if twin is None:
        return None
    differ = "they differ in Unicode form, blanks or unseen characters only"
    return f"there is {twin!a}, this is {name!a}: {differ}"


def _looks(name: str) -> str:
    composed = unicodedata.normalize("NFKC", name)
    return " ".join("".join(c for c in composed if unicodedata.category(c) not in UNSEEN).split())
