"""Options that several commands have, and types of values."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from lt_data import Threshold
    from lt_export.runtime.classifier import EdgeClassifier

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
"""Where each command adds its own."""

DEVICES = ("auto", "cpu", "cuda", "tensorrt", "coreml", "openvino")
"""Those of `lt_export.load`, which cannot be asked before NumPy is imported."""


def add_command(
    commands: Commands, name: str, run: Callable[[argparse.Namespace], int], summary: str
) -> argparse.ArgumentParser:
    """A command that takes a model; its namespace has `run`, and `parser` to refuse what does not go together."""
    parser = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
    parser.set_defaults(run=run, parser=parser)
    parser.add_argument("model", metavar="MODEL", type=Path, help="exported model, such as model.onnx")
    return parser


def add_loading(parser: argparse.ArgumentParser) -> None:
    """Options of `lt_export.load`."""
    parser.add_argument("--device", choices=DEVICES, default="auto", help="where the model runs (default: auto)")
    parser.add_argument(
        "--num-threads",
        type=whole(1),
        metavar="N",
        help="threads of one operator on the CPU (default: one for each processor that may be used)",
    )


def add_selection(parser: argparse.ArgumentParser) -> None:
    """Options of `EdgeClassifier.predict`."""
    parser.add_argument(
        "--topk",
        type=whole(1),
        default=1,
        metavar="K",
        help="classes of a multiclass model to give; changes nothing for a multilabel one",
    )
    parser.add_argument(
        "--threshold",
        type=_threshold,
        default=0.5,
        metavar="SCORE",
        help="a multilabel model gives every class above it; auto takes those fitted for each class (default: 0.5)",
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """The option of a machine-readable result."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def load(arguments: argparse.Namespace) -> EdgeClassifier:
    """The model of a command with the options of `add_loading`."""
    import lt_export

    return lt_export.load(arguments.model, device=arguments.device, num_threads=arguments.num_threads)


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """A type for argparse: whole numbers of at least `least`, at most `most`."""
    expected = f"a whole number of at least {least}" if most is None else f"a whole number from {least} to {most}"

    def convert(text: str) -> int:
        value = int(text) if text.lstrip("-").isdecimal() else None
        if value is None or value < least or (most is not None and value > most):
            raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}")
        return value

    return convert


def _threshold(text: str) -> Threshold:
    return "auto" if text == "auto" else number(0.0)(text)


def number(least: float) -> Callable[[str], float]:
    """A type for argparse: finite numbers of at least `least`."""

    def convert(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not least <= value < math.inf:
            raise argparse.ArgumentTypeError(f"expected a number of at least {least:g}, got {text!r}")
        return value

    return convert
