"""`lt-export info`: what a model file says about itself; the model is not run, nor is ONNX Runtime needed."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lt_export.commands.arguments import Commands, add_command, add_json
from lt_export.commands.printing import print_json
from lt_export.terminal import one_line

if TYPE_CHECKING:
    from lt_export.runtime.description import Description
    from lt_export.runtime.runner import BatchLimits

SHOWN_CLASSES = 10


def add_to(commands: Commands) -> None:
    """The command and its options."""
    add_json(add_command(commands, "info", run, "say what a model file says about itself, without running it"))


def run(arguments: argparse.Namespace) -> int:
    """Print the description of a file, its size and its SHA-256."""
    import hashlib

    from lt_export.summary import summary

    content, description, batch = _read(arguments.model)
    values = {
        "path": str(arguments.model),
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        **summary(description, batch),
    }
    if arguments.json:
        print_json(values)
    else:
        for name, value in _lines(values, batch):
            print(f"{name:<17} {one_line(value)}")
    return 0


def _read(model: Path) -> tuple[bytes, Description, BatchLimits]:
    from lt_export.metadata import INPUT_NAME, from_metadata
    from lt_export.runtime.engine_file import ENDINGS, read_engine
    from lt_export.runtime.onnx_file import fixed_batch, read_onnx
    from lt_export.runtime.runner import BatchLimits

    if model.suffix.lower() in ENDINGS:
        engine = read_engine(model)
        sizes = engine.manifest.batch
        return engine.content, engine.manifest.description, BatchLimits(sizes.smallest, sizes.largest)
    file = read_onnx(model)
    fixed = fixed_batch(file.content, INPUT_NAME)
    return file.content, from_metadata(file.metadata, str(model)), BatchLimits(fixed or 1, fixed)


def _lines(values: dict[str, Any], batch: BatchLimits) -> list[tuple[str, str]]:
    from lt_data import enumerated, told_apart

    names = [f"{entry['id']} {told_apart(entry['name'])}" for entry in values["classes"]]
    spec = values["preprocessing"]
    height, width = spec["image_size"]
    resize = f"{spec['resize_mode']} {spec['resize_scale']:g}" if spec["resize_mode"] == "crop" else spec["resize_mode"]
    decoding = ", ".join(f"{name} {value}" for name, value in spec["decoding"].items() if value is not None)
    return [
        ("file", values["path"]),
        ("size", f"{values['bytes'] / 1e6:.1f} MB"),
        ("SHA-256", values["sha256"]),
        ("task", values["task"]),
        ("classes", f"{len(names)}: {enumerated(names, SHOWN_CLASSES)}"),
        ("input", f"{height} x {width} pixels (height x width), {spec['num_channels']} channels"),
        ("batch", str(batch)),
        ("resize", f"{resize}, {spec['interpolation']}"),
        ("mean", ", ".join(f"{value:g}" for value in spec["mean"])),
        ("std", ", ".join(f"{value:g}" for value in spec["std"])),
        ("decoding", decoding),
        ("temperature", _temperature(values["calibration"]["temperature"])),
        *([("thresholds", _thresholds(values["calibration"]["thresholds"]))] if values["task"] == "multilabel" else []),
        ("preprocessing", "inside the model" if values["includes_preprocessing"] else "by the runtime"),
        ("precision", values["precision"]),
        ("exported by", f"lt-export {values['lt_export_version'] or 'of unknown version'}"),
        ("checkpoint", f"SHA-256 {values['checkpoint_sha256']}" if values["checkpoint_sha256"] else "not known"),
        ("self-test", f"{values['reference_images']} images" if values["reference_images"] else "none in the file"),
    ]


def _temperature(given: float) -> str:
    return "1: not calibrated" if given == 1 else f"{given:.4g}, inside the model"


def _thresholds(given: list[dict[str, Any]] | None) -> str:
    from lt_data import listed

    if given is None:
        return "none of its own"
    return listed([f"{entry['name']} {entry['threshold']:.4g}" for entry in given], SHOWN_CLASSES)
