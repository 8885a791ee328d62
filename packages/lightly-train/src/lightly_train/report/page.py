"""The page: sections, style and the one script, in one file that asks nobody for anything."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from lightly_train.report.data import ReportData
from lightly_train.report.figures import class_table
from lightly_train.report.markup import Html, joined, shown_name, tag
from lightly_train.report.sections.confusions import LEVELS, confusion
from lightly_train.report.sections.images import augmentations, label_errors, wrong_images
from lightly_train.report.sections.parts import Section
from lightly_train.report.sections.per_class import balance, classes
from lightly_train.report.sections.scores import calibration, thresholds
from lightly_train.report.sections.settings import arguments, environment
from lightly_train.report.sections.training import curves, headline

FOLDER = Path(__file__).parent

Color = tuple[int, int, int]
LIGHT_CELL: tuple[Color, Color] = ((255, 255, 255), (11, 87, 164))
DARK_CELL: tuple[Color, Color] = ((25, 30, 36), (132, 184, 243))
"""Colours of a cell of the confusion matrix with none and with all of a row, in either scheme."""


def page(data: ReportData) -> str:
    """The whole file as text.

    A content security policy lets the browser run and apply only what is written here, and load nothing.
    """
    sections = all_sections(data)
    style = Html((FOLDER / "style.css").read_text(encoding="utf-8") + shades())
    script = Html((FOLDER / "sorting.js").read_text(encoding="utf-8"))
    policy = (
        f"default-src 'none'; img-src data:; style-src '{digest(style)}'; script-src '{digest(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    created = data.created.isoformat(sep=" ", timespec="minutes")
    links = [tag("li", tag("a", section.title, href=f"#{section.name}")) for section in sections]
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"Report: {data.title}"),
        tag("style", style),
    )
    body = tag(
        "body",
        tag(
            "header",
            tag("h1", "Report: ", shown_name(data.title)),
            tag("p", f"Made on {created}", class_="sub"),
            *(tag("p", text, class_="warning") for text in data.notes),
            tag("nav", tag("ul", *links), aria_label="Sections"),
        ),
        tag("main", *map(drawn, sections)),
        tag("footer", "Written by lightly-train. This file is complete in itself: it loads nothing and sends nothing."),
        tag("script", script),
    )
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


def all_sections(data: ReportData) -> list[Section]:
    """The sections in order; those on thresholds are for multilabel only."""
    table = class_table(data.scored, data.threshold)
    return [
        headline(data),
        curves(data),
        confusion(data, table),
        classes(data, table),
        calibration(data),
        *([thresholds(data)] if data.scored.task.task == "multilabel" else []),
        wrong_images(data),
        label_errors(data),
        balance(data),
        augmentations(data),
        arguments(data),
        environment(data),
    ]


def drawn(section: Section) -> Html:
    """A section with its heading and the sentence on how to read it."""
    heading = f"{section.name}-heading"
    parts = joined([tag("h2", section.title, id=heading), tag("p", section.lead, class_="lead"), section.body])
    return tag("section", parts, id=section.name, aria_labelledby=heading)


def shades() -> str:
    """Rules for the cells of the confusion matrix, with black or white text, whichever is easier to read."""
    light, dark = (
        "".join(_shade(f".matrix tbody td.h{i}", *colors, i / LEVELS) for i in range(1, LEVELS + 1))
        for colors in (LIGHT_CELL, DARK_CELL)
    )
    return f"{light}@media (prefers-color-scheme: dark) {{ {dark} }}\n"


def digest(text: str) -> str:
    """A source of the content security policy: SHA-256 of a style or script."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _shade(selector: str, none: Color, full: Color, share: float) -> str:
    color = tuple(round(a + (b - a) * share) for a, b in zip(none, full, strict=True))
    # Against 0.179 black and white have the same contrast, 4.58 : 1 (WCAG 2.1, relative luminance).
    text = "#000" if luminance(color) > 0.179 else "#fff"
    return f"{selector} {{ background: rgb({color[0]} {color[1]} {color[2]}); color: {text}; }}\n"


def luminance(color: tuple[int, ...]) -> float:
    """Relative luminance of an sRGB colour, in [0, 1]: WCAG 2.1, definition of relative luminance."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (level / 255 for level in color)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
