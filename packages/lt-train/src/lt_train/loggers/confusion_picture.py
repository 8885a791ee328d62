"""A confusion matrix to look at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lt_data import base_letters
from lt_train.metrics.tally import Ints

MOST_CLASSES = 50
"""With more, neither names nor counts could be read."""

CELL, FONT, MARGIN, NAME_CHARACTERS = 32, 11, 8, 20
INK, PAPER, BLUE = (20, 20, 20), (255, 255, 255), (8, 48, 107)


def confusion_picture(counts: Ints, names: Sequence[str]) -> Image.Image:
    """Draw one row for each class, darker where more of its samples were predicted as the column's class.

    Args:
        counts: How often each class (row) was predicted as each (column), of shape (classes, classes).
        names: Names of the classes, drawn in base letters: the font has no others.
    """
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    font = ImageFont.load_default(FONT)
    labels = [_name_tag(name, font) for name in names]
    edge = max(label.width for label in labels) + 2 * MARGIN
    size = edge + CELL * len(names) + MARGIN
    canvas = Image.new("RGB", (size, size), PAPER)
    draw = ImageDraw.Draw(canvas)
    draw.text((MARGIN, MARGIN), "true \\ predicted", fill=INK, font=font)
    for i, label in enumerate(labels):
        middle = edge + CELL * i + CELL // 2
        canvas.paste(label, (edge - MARGIN - label.width, middle - label.height // 2))
        upright = label.rotate(90, expand=True)
        canvas.paste(upright, (middle - upright.width // 2, edge - MARGIN - upright.height))
    for row, column in np.ndindex(counts.shape):
        left, top, part = edge + CELL * column, edge + CELL * row, float(share[row, column])
        colour = tuple(round(paper + part * (blue - paper)) for paper, blue in zip(PAPER, BLUE, strict=True))
        draw.rectangle((left, top, left + CELL - 1, top + CELL - 1), fill=colour, outline=(225, 225, 225))
        if counts[row, column]:
            centre = (left + CELL // 2, top + CELL // 2)
            draw.text(
                centre, _short(int(counts[row, column])), fill=PAPER if part > 0.5 else INK, font=font, anchor="mm"
            )
    return canvas


def _short(count: int) -> str:
    """A count in four characters at most."""
    if count < 10_000:
        return str(count)
    return f"{count // 1000}k" if count < 1_000_000 else f"{count // 1_000_000}M"


def _name_tag(name: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> Image.Image:
    letters = base_letters(name)
    text = letters if len(letters) <= NAME_CHARACTERS else letters[: NAME_CHARACTERS - 1] + "~"
    tag = Image.new("RGB", (max(1, round(font.getlength(text))), FONT + 4), PAPER)
    ImageDraw.Draw(tag).text((0, 1), text, fill=INK, font=font)
    return tag
