"""YAML in which no key stands twice, and why a file cannot be read, in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from lt_data.files import looked_for

TAB = r"'\t'"
"""As PyYAML shows one."""


MERGE = "tag:yaml.org,2002:merge"


class UniqueKeyLoader(yaml.SafeLoader):
    """Plain values only; a key that stands twice in a mapping is an error, as by the YAML specification, section 3.2.1.

    PyYAML itself takes the last of them.
    """

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """A mapping; PyYAML calls this.

        Raises:
            yaml.constructor.ConstructorError: A key stands twice; has the place of the second one.
        """
        lines: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != MERGE:
                if (key.tag, key.value) in lines:
                    raise yaml.constructor.ConstructorError(
                        "while reading a mapping",
                        node.start_mark,
                        f"the key {key.value!r} stands here a second time, first in line {lines[key.tag, key.value]}",
                        key.start_mark,
                    )
                lines[key.tag, key.value] = key.start_mark.line + 1
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


def unreadable_yaml(file: Path, error: OSError | UnicodeDecodeError | yaml.YAMLError) -> str:
    """What to say of a file that cannot be read as YAML: which, where in it, and why.

    Args:
        file: The file.
        error: What reading it raised.
    """
    where = looked_for(file) if isinstance(error, FileNotFoundError) else ""
    return f"cannot read {file} as a YAML file: {_reason(error)}{where}"


def _reason(error: OSError | UnicodeDecodeError | yaml.YAMLError) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, UnicodeDecodeError):
        return f"it is no text in UTF-8 (byte {error.object[error.start]:#04x} at position {error.start})"
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return " ".join(str(error).split())
    mark, problem = error.problem_mark, error.problem or "it is no YAML"
    why = "YAML takes blanks, not tabs, for indentation" if TAB in problem else problem
    return f"line {mark.line + 1}, column {mark.column + 1}: {why}"
