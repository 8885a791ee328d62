"""What the README files and the documentation hold: blocks, commands, and words set as code."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]

DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "packages").glob("*/README.md")),
    *sorted((ROOT / "examples").rglob("*.md")),
]

BLOCK = re.compile(r"^```(?P<language>[^\n]*)\n(?P<text>.*?)^```$", flags=re.MULTILINE | re.DOTALL)
PROMPT = "$ "


def name_of(document: Path) -> str:
    return document.relative_to(ROOT).as_posix()


def blocks(document: Path) -> Iterator[tuple[str, str]]:
    """Language and text of each."""
    for found in BLOCK.finditer(document.read_text(encoding="utf-8")):
        yield found["language"], found["text"]


def code(document: Path) -> list[str]:
    """What is set as code within sentences and tables."""
    return re.findall(r"`([^`\n]+)`", BLOCK.sub("", document.read_text(encoding="utf-8")))


def commands() -> list[tuple[str, str]]:
    """Every command of a shell, without its output, with the name of its document."""
    found = []
    for document in DOCUMENTS:
        for language, text in blocks(document):
            if language not in ("bash", "console"):
                continue
            lines = text.replace("\\\n", " ").splitlines()
            typed = [line.removeprefix(PROMPT) for line in lines if language == "bash" or line.startswith(PROMPT)]
            found += [
                (name_of(document), shlex.join(words)) for line in typed if (words := shlex.split(line, comments=True))
            ]
    return found
