"""`lightly-train train`."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

import lightly_train.train
from lightly_train.arguments import Arguments, argument_kinds, read_arguments
from lightly_train.cli.collect import collect
from lightly_train.cli.kinds import fields
from lightly_train.cli.options import Option, options_of
from lightly_train.cli.printing import print_json, print_note
from lightly_train.cli.typed import in_words, with_typed
from lt_data import ConfigError, DataConfig, Problem, unreadable_yaml
from lt_train import read_yaml_file

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
    from lt_train import RunFolder, first_process, leave_on_signals

    with leave_on_signals():
        arguments = read_words(words)
        try:
            result = lightly_train.train.run(arguments)
        except (KeyboardInterrupt, SystemExit):
            if first_process() and not RunFolder(Path(arguments.out)).checkpoint.is_file():
                print_note("stopped before anything was saved")
            raise
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
    missing = {option.place[0] for option in options() if option.required}
    try:
        base = {} if file is None else _read_config(Path(file))
        missing -= {*base, *(place[0] for place in typed.values)}
        arguments = read_arguments({**_defaults(), **with_typed(base, typed.values)})
    except ConfigError as error:
        raise ConfigError([*problems, *in_words(error, missing)]) from error
    if problems:
        raise ConfigError(problems)
    return arguments


def _defaults() -> dict[str, Any]:
    parameters = inspect.signature(lightly_train.train.train_image_classification).parameters
    return {name: one.default for name, one in parameters.items() if one.default is not inspect.Parameter.empty}


def _read_config(file: Path) -> dict[str, Any]:
    try:
        content = read_yaml_file(file.expanduser())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError([Problem("--config", unreadable_yaml(file, error))]) from error
    if not isinstance(content, dict):
        what = f"{file} must hold arguments such as `out`, `data` and `model`, as YAML"
        raise ConfigError([Problem("--config", what)])
    if content.keys() <= set(fields(DataConfig)) and not content.keys() & set(argument_kinds()):
        raise ConfigError([Problem("--config", f"{file} describes data; give it as --data")])
    return {str(key): value for key, value in content.items()}
