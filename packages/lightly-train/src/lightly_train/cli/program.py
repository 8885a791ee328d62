"""The program: which command runs, and what its errors look like."""

from __future__ import annotations

import importlib
import io
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from lightly_train.cli.help_text import group_help, groups_of, nested_help
from lightly_train.cli.options import Option
from lightly_train.cli.printing import print_error
from lt_data import ConfigError, DatasetError, LtDataError, listed
from lt_export import LtExportError, one_line
from lt_models import LtModelsError
from lt_train import LtTrainError

EXIT_UNEXPECTED = 1
"""Exit status of an error that should not happen."""
EXIT_WRONG_INPUT = 2
"""Exit status when arguments, data or files are wrong; the message says what to do."""
EXIT_CTRL_C = 130
"""Exit status after Ctrl-C, as a shell has it; training has saved by then."""

HELP = ("--help", "-h")
EPILOG = (
    "Exit status: 0 fine, 1 an unexpected error, 2 wrong arguments, data or files, 130 Ctrl-C, 143 SIGTERM; a run that "
    "was stopped has saved first. With any command, --debug shows the traceback of an error."
)

NESTED = ("train", "evaluate", "calibrate", "check-data", "preview")
"""Commands with options such as --model-args.lr, each a module; cyclopts runs the others."""


class UsageError(Exception):
    """A command was called wrongly."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command.

    Args:
        argv: Its words; None takes those of this process.

    Raises:
        SystemExit: With the exit status, unless that is 0.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    _print_anything()
    status = guarded(lambda: dispatch(words), debug=debug)
    if status:
        raise SystemExit(status)


def dispatch(words: Sequence[str]) -> Any:
    """Run the command that the first word names."""
    name = words[0] if words else ""
    if name not in NESTED:
        return _run_with_cyclopts(name, words)
    command = importlib.import_module(f"lightly_train.cli.{name.replace('-', '_')}")
    asked = next((i for i, word in enumerate(words) if word in HELP), None)
    if asked is None:
        return command.run(words[1:])
    options, group = command.options(), next(iter(words[asked + 1 :]), "")
    if group and not group.startswith("-"):
        print(group_help(_group(group, options), options, command.POSITIONAL), end="")
    else:
        print(nested_help(name, command.SUMMARY, options, command.POSITIONAL, EPILOG), end="")
    return 0


def _group(word: str, options: Sequence[Option]) -> str:
    """The heading in help that is meant.

    Raises:
        UsageError: There is none of this name.
    """
    groups = groups_of(options)
    named = {group.lower(): group for group in groups}
    asked = word.replace("-", "_").lower()
    if asked not in named:
        raise UsageError(f"help has no group {word!r}; it has {listed([*named], len(named))}")
    return named[asked]


def _run_with_cyclopts(name: str, words: Sequence[str]) -> Any:
    from cyclopts import CycloptsError

    from lightly_train.cli.app import PLAIN, build_app

    try:
        return build_app(EPILOG, name)(list(words), exit_on_error=False, print_error=False)
    except CycloptsError as error:
        which = f"lightly-train {name}" if name in PLAIN else "lightly-train"
        raise UsageError(f"{one_line(str(error))} `{which} --help` lists what there is") from error


def guarded(command: Callable[[], Any], *, debug: bool) -> int:
    """Run a command and return its exit status; errors are told in a sentence, with `debug` after their traceback."""
    try:
        status = command()
        sys.stdout.flush()
    except KeyboardInterrupt:
        return EXIT_CTRL_C
    except BrokenPipeError:
        # Whoever read our output has seen enough; Python would complain again when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    # Whatever it is, a shell gets one line and an exit status; --debug shows the rest.
    except Exception as error:
        if debug:
            traceback.print_exc()
        return _report(error)
    return status if isinstance(status, int) else 0


def _report(error: Exception) -> int:
    if isinstance(error, (ConfigError, DatasetError)):
        print_error(_problems(error))
        return EXIT_WRONG_INPUT
    if isinstance(error, (LtDataError, LtTrainError, LtModelsError, LtExportError, OSError, UsageError)):
        print_error(str(error))
        return EXIT_WRONG_INPUT
    print_error(f"unexpected {type(error).__name__}: {' '.join(str(error).split())}; --debug shows where")
    return EXIT_UNEXPECTED


def _problems(error: ConfigError | DatasetError) -> str:
    """One problem on one line; several below a heading."""
    if len(error.problems) > 1:
        return str(error)
    problem = error.problems[0]
    return f"{problem.where}: {problem.what}" if problem.where else problem.what


def _print_anything() -> None:
    """Class and file names may have what the terminal's encoding lacks."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
