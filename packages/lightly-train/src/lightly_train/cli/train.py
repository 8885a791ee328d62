"""`lightly-train train`."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

import lightly_train.train
from lightly_train.arguments import Arguments, argument_kinds, read_arguments
from lightly_train.cli.collect import collect, merged
from lightly_train.cli.kinds import fields, members
from lightly_train.cli.options import Option, options_of
from lightly_train.cli.printing import print_json
from lt_data import ConfigError, DataConfig, Problem, load_data_config
from lt_train.yaml_text import read_file

POSITIONAL = ()
SUMMARY = "Train a classifier and print the best metrics as JSON."

CONFIG = Option(
    ("config",),
    Path,
    "",
    "YAML file with these arguments, such as the config.yaml of a run; options given beside it win.",
)


def kinds() -> dict[str, Any]:
    """Types of the arguments by name."""
    return {CONFIG.place[0]: CONFIG.kind, **argument_kinds(), "data": Path | DataConfig}


def options() -> tuple[Option, ...]:
    """Every argument of `train_image_classification`, each key of its settings, and `--config`."""
    found = options_of(lightly_train.train.train_image_classification, kinds())
    required = [option for option in found if option.required]
    return (*required, CONFIG, *(option for option in found if option not in required))


def run(words: Sequence[str]) -> None:
    """Train with the options in `words`.

    Raises:
        ConfigError: Lists every word, key and value that is wrong.
    """
    from lt_train.signals import leave_on_signals

    with leave_on_signals():
        result = lightly_train.train.run(read_words(words))
    from lt_train.run_log import first_process

    if first_process():
        files = {"exported_best": result.exported_best, "report": result.report}
        print_json(
            {
                "best_step": result.best_step,
                **result.best_metrics,
                **(result.test_metrics or {}),
                **{name: None if file is None else str(file) for name, file in files.items()},
            }
        )


def read_words(words: Sequence[str]) -> Arguments:
    """The arguments in `words` and in the file that they name.

    Raises:
        ConfigError: Lists every word, key and value that is wrong.
    """
    typed = collect(words, kinds())
    problems = list(typed.problems)
    file = typed.values.pop(CONFIG.place, None)
    base = {} if file is None else _read_config(Path(file), problems)
    try:
        arguments = read_arguments({**_defaults(), **with_typed(base, typed.values)})
    except ConfigError as error:
        raise ConfigError([*problems, *error.problems]) from error
    if problems:
        raise ConfigError(problems)
    return arguments


def _defaults() -> dict[str, Any]:
    parameters = inspect.signature(lightly_train.train.train_image_classification).parameters
    return {name: one.default for name, one in parameters.items() if one.default is not inspect.Parameter.empty}


def with_typed(base: Mapping[str, Any], typed: Mapping[tuple[str, ...], Any]) -> dict[str, Any]:
    """The arguments of a file with the options beside it; a file of `data` is read where a key of it is typed."""
    data = typed.get(("data",), base.get("data"))
    if isinstance(data, str) and any(place[0] == "data" and len(place) > 1 for place in typed):
        base, typed = {**base, "data": _read_data(Path(data))}, {p: v for p, v in typed.items() if p != ("data",)}
    return merged(base, typed)


def _read_config(file: Path, problems: list[Problem]) -> dict[str, Any]:
    try:
        content = read_file(file.expanduser())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        problems.append(Problem("--config", f"cannot read {file} as a YAML file: {' '.join(str(error).split())}"))
        return {}
    if not isinstance(content, dict):
        problems.append(Problem("--config", f"{file} must hold arguments such as `out`, `data` and `model`, as YAML"))
        return {}
    return {str(key): value for key, value in content.items()}


def _read_data(file: Path) -> Any:
    """The keys in a file of `data`, its paths relative to its folder.

    Raises:
        ConfigError: It cannot be read.
    """
    try:
        content = read_file(file.expanduser())
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        content = None
    if not isinstance(content, dict):
        load_data_config(file)  # says why
        return str(file)
    paths = [name for name, field in fields(DataConfig).items() if Path in members(field.type)]
    for key in paths:
        if isinstance(content.get(key), str):
            content[key] = os.path.join(file.expanduser().parent, os.path.expanduser(content[key]))  # noqa: PTH111
    return content
