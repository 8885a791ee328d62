"""The command `lt-export`: exported models, from a shell.

argparse alone: the command is also for devices, whose environment holds the runtime and nothing else. Nothing heavy is
imported before a command runs, so that help is quick.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

from lt_export.commands import benchmark, build_engine, describe_engine, info, predict, selftest, serve, web

COMMANDS = (predict, info, benchmark, selftest, build_engine, describe_engine, serve, web)

EXIT_FAILED = 1
"""Exit status of an error that should not happen, and where scores are not what they should be."""
EXIT_WRONG_INPUT = 2
"""Exit status when arguments or files are wrong, as of commands that could not read an image."""
EXIT_CTRL_C = 130

EPILOG = (
    "Exit status: 0 fine, 1 an unexpected error, wrong scores or requests cut off, 2 wrong arguments or files, or an "
    "image could not be read, 130 Ctrl-C."
)


class Parser(argparse.ArgumentParser):
    """argparse with errors of one line."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and exit."""
        self.exit(EXIT_WRONG_INPUT, f"error: {message}; `{self.prog} --help` lists what there is\n")


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = Parser(prog="lt-export", description="Run exported image classifiers without PyTorch.", epilog=EPILOG)
    parser.add_argument("--version", action="store_true", help="print the version")
    commands = parser.add_subparsers(metavar="COMMAND", title="commands")
    for command in COMMANDS:
        command.add_to(commands)
    for one in commands.choices.values():
        one.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status; wrong arguments exit at once.

    Args:
        argv: Its arguments; None takes those of this process.
    """
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if arguments.version:
        return _print_version()
    if "run" not in arguments:
        parser.error("name a command")
    _print_anything()
    try:
        status: int = arguments.run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return EXIT_CTRL_C
    except BrokenPipeError:
        # Whoever read our output has seen enough; Python would complain again when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    # Whatever it is, a shell gets one line and an exit status; --debug shows the rest.
    except Exception as error:
        if arguments.debug:
            traceback.print_exc()
        return _report(error)
    return status


def _report(error: Exception) -> int:
    from lt_data import LtDataError
    from lt_export.errors import LtExportError, SelfTestError, VerificationError

    message = _message(error)
    known = isinstance(error, (LtDataError, LtExportError, OSError))
    if not known:
        message = f"unexpected {type(error).__name__}: {message}; --debug shows where"
    print(f"error: {message}", file=sys.stderr)
    return EXIT_WRONG_INPUT if known and not isinstance(error, (SelfTestError, VerificationError)) else EXIT_FAILED


def _message(error: Exception) -> str:
    """One line; more where one of them is a command to copy."""
    from lt_export.errors import EngineError
    from lt_export.terminal import one_line

    if isinstance(error, EngineError) and error.command:
        return "\n".join(map(one_line, str(error).splitlines()))
    return one_line(" ".join(str(error).split()))


def _print_anything() -> None:
    """Class and file names may have what the terminal's encoding lacks."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _print_version() -> int:
    import importlib.metadata

    print(f"lt-export {importlib.metadata.version('lt-export')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
