"""Text for a font that has ASCII only, as Pillow's own has."""

from __future__ import annotations

import unicodedata

SPELT = str.maketrans(
    {"ß": "ss", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D"}
)
"""Letters that Unicode does not take apart."""


def base_letters(text: str) -> str:
    """The text in ASCII: letters without their accents, such as `u` for `ü` and `ss` for `ß`, and `?` for all others.

    It may be longer or shorter than `text`.
    """
    parts = unicodedata.normalize("NFKD", text.translate(SPELT))
    return "".join(c if c.isascii() else "?" for c in parts if not unicodedata.combining(c))
