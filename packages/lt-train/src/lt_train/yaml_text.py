"""YAML whose numbers are those that people write: `1e-3` is one, as in YAML 1.2."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from lt_data import UniqueKeyLoader

FLOAT = "tag:yaml.org,2002:float"
EXPONENT = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$")
BEGINNINGS = list("-+.0123456789")


class _Loader(UniqueKeyLoader):
    """Plain values only, each key once, with numbers in exponent form."""


class _Dumper(yaml.SafeDumper):
    """Puts text into quotes that would be read as a number."""


_Loader.add_implicit_resolver(FLOAT, EXPONENT, BEGINNINGS)
_Dumper.add_implicit_resolver(FLOAT, EXPONENT, BEGINNINGS)


def dump(values: Mapping[str, Any]) -> str:
    """Plain values as text that `parse` reads as the same; short lists and dicts on one line."""
    options: dict[str, Any] = {"sort_keys": False, "allow_unicode": True, "default_flow_style": None, "width": 120}
    text: str = yaml.dump(dict(values), Dumper=_Dumper, **options)
    return text


def parse(text: str) -> Any:
    """The value of a document.

    Raises:
        yaml.YAMLError: It is no YAML.
    """
    return yaml.load(text, Loader=_Loader)  # a safe one


def read_yaml(text: str, *, otherwise: Any) -> Any:
    """The value of a document, or `otherwise` where it is no YAML."""
    try:
        return parse(text)
    except (yaml.YAMLError, ValueError):
        return otherwise


def read_yaml_file(file: Path) -> Any:
    """The value of a file.

    Raises:
        OSError: It cannot be read.
        UnicodeDecodeError: It is not UTF-8.
        yaml.YAMLError: It is no YAML.
    """
    return parse(file.read_text(encoding="utf-8-sig"))
