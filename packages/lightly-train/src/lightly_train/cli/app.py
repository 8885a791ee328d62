"""The commands as cyclopts has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cyclopts import App, Parameter

from lightly_train.cli import calibrate, check_data, evaluate, preview, train
from lightly_train.cli.export_onnx import export_onnx
from lightly_train.cli.export_tensorrt import export_tensorrt
from lightly_train.cli.help_text import HelpText
from lightly_train.cli.info import info
from lightly_train.cli.list_models import list_models
from lightly_train.cli.nested import add_nested
from lightly_train.cli.predict import predict

PLAIN: Mapping[str, Callable[..., Any]] = {
    "predict": predict,
    "export-onnx": export_onnx,
    "export-tensorrt": export_tensorrt,
    "list-models": list_models,
    "info": info,
}
"""Commands that cyclopts runs."""


def build_app(epilog: str, wanted: str = "") -> App:
    """The wanted command, or all where it is none of these.

    Those with nested options are there for the list of commands and for completion.
    """
    app = App(
        name="lightly-train",
        help="Train, use and ship image classifiers.",
        version=_version,
        help_epilogue=epilog,
        help_format="plaintext",
        help_formatter=HelpText(),
        result_action="return_value",
        suppress_keyboard_interrupt=False,
        # Otherwise each list gets an option such as --empty-images.
        default_parameter=Parameter(negative_iterable=()),
    )
    for name in [wanted] if wanted in PLAIN else PLAIN:
        app.command(PLAIN[name], name=name)
    if wanted not in PLAIN:
        for name, module in (
            ("train", train),
            ("evaluate", evaluate),
            ("calibrate", calibrate),
            ("check-data", check_data),
            ("preview", preview),
        ):
            add_nested(app, name, module.SUMMARY, module.options(), module.POSITIONAL)
        app.register_install_completion_command()
    return app


def _version() -> str:
    from importlib.metadata import version

    return version("lightly-train")
