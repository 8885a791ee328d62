"""The command `lightly-train`: the Python API, from a shell."""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cyclopts import App, CycloptsError

from lt_data import ConfigError, ImageDecodeError, LtDataError, Problem
from lt_export import LtExportError
from lt_models import LtModelsError
from lt_train import EarlyStoppingArgs, LoggerArgs, LtTrainError, ModelArgs, SaveCheckpointArgs

if TYPE_CHECKING:
    from lightly_train.model import ImageClassification
    from lt_export import EdgeClassifier

app = App(name="lightly-train", help="Train, use and ship image classifiers.")

EXIT_CTRL_C = 130
"""Exit status after Ctrl-C, as a shell has it; training has saved by then."""

EDGE_ENDINGS = (".onnx", ".trt", ".engine", ".plan")
"""Of models that run without PyTorch."""

EXIT_WRONG_INPUT = 2
"""Exit status when arguments, data or files are wrong; the message says what to do."""


@app.command
def train(
    *,
    out: Path,
    data: Path,
    model: str,
    classification_task: Literal["multiclass", "multilabel"] = "multiclass",
    steps: int | None = None,
    epochs: float | None = None,
    batch_size: int | None = None,
    num_workers: int | None = None,
    devices: int | None = None,
    precision: str = "auto",
    seed: int = 0,
    resume_interrupted: bool = False,
    overwrite: bool = False,
    reuse_class_head: bool = False,
    model_args: ModelArgs | None = None,
    transform_args: str | None = None,
    logger_args: LoggerArgs | None = None,
    metric_args: str | None = None,
    save_checkpoint_args: SaveCheckpointArgs | None = None,
    early_stopping_args: EarlyStoppingArgs | None = None,
) -> None:
    """Train a classifier and print the best metrics as JSON.

    Args:
        out: Run folder.
        data: YAML file with the keys `train` and `val`, or `train_csv` and `val_csv`, and others such as `classes`.
        model: Name such as timm/resnet18, or path of an exported model to start from.
        classification_task: Whether an image has one class, or any number; the latter needs data as a table.
        steps: Optimiser steps; not given, they follow from the size of the data set.
        epochs: Passes over the training data, instead of steps.
        batch_size: Images of one forward pass over all devices.
        num_workers: Processes that load images, per device.
        devices: Number of devices.
        precision: As Lightning Fabric takes it.
        seed: Seed of everything random.
        resume_interrupted: Go on from the checkpoint in `out`.
        overwrite: Replace the run in `out`.
        reuse_class_head: Keep the head's rows of classes whose name stays.
        model_args: Optimisation.
        transform_args: How images become inputs, as YAML: "{image_size: [224, 224], random_flip: null}".
        logger_args: What is logged where, and how often.
        metric_args: Which metrics are computed, and which decides, as YAML: "{classwise: true, auroc: null}".
        save_checkpoint_args: Which files are written.
        early_stopping_args: When the run ends before its last step.
    """
    given: dict[str, Any] = {name: value for name, value in locals().items() if value is not None}
    from lightly_train.train import train_image_classification

    for name, text in (("transform_args", transform_args), ("metric_args", metric_args)):
        if text is not None:
            given[name] = _from_yaml(text, name)
    result = train_image_classification(**given)
    metrics = {name: value if math.isfinite(value) else None for name, value in result.best_metrics.items()}
    exported = str(result.exported_best) if result.exported_best else None
    _print_json({"best_step": result.best_step, **metrics, "exported_best": exported})


@app.command
def predict(model: Path, images: list[str], *, topk: int = 1, threshold: float = 0.5) -> None:
    """Classify images and print one JSON object a line; unreadable ones are named, and the others still classified.

    Args:
        model: Exported model (.pt), ONNX file (.onnx), or TensorRT engine (.trt, .engine, .plan).
        images: Paths or URLs.
        topk: Number of classes of a multiclass model to print.
        threshold: A multilabel model prints every class whose score is greater.
    """
    classifier = _load(model)
    unreadable = 0
    for image in images:
        try:
            result = classifier.predict(image, topk=topk, threshold=threshold)
        except ImageDecodeError as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            unreadable += 1
            continue
        labels = [int(label) for label in result["labels"]]
        names = [classifier.classes[label] for label in labels]
        scores = [float(score) for score in result["scores"]]
        _print_json({"image": image, "labels": labels, "names": names, "scores": scores})
    if unreadable:
        raise SystemExit(EXIT_WRONG_INPUT)


@app.command
def export_onnx(
    model: Path,
    out: Path,
    *,
    precision: Literal["auto", "fp32", "fp16", "int8"] = "auto",
    batch_size: int = 1,
    dynamic_batch_size: bool = True,
    height: int | None = None,
    width: int | None = None,
    opset_version: int | None = None,
    simplify: bool = True,
    verify: bool = True,
    include_preprocessing: bool = False,
    images: Path | None = None,
    max_accuracy_drop: float = 1.0,
) -> None:
    """Write an exported model as one ONNX file, verified against it.

    Args:
        model: Exported model (.pt).
        out: ONNX file to write.
        precision: Of the weights; auto is fp32. int8 needs --images.
        batch_size: Number of images of a fixed batch.
        dynamic_batch_size: Accept any number of images.
        height: Of the input in pixels; the model's own if not given.
        width: Of the input in pixels; the model's own if not given.
        opset_version: ONNX operator set, at least 18; the exporter's choice if not given.
        simplify: Shorten the graph with onnxslim.
        verify: Compare the file's scores with the model's.
        include_preprocessing: Take decoded images of any size, and resize and normalise them in the graph.
        images: Folder of real images to verify and quantise with; class folders in it are the labels.
        max_accuracy_drop: Points of accuracy that int8 may lose on these images.
    """
    from lightly_train.model import load_model

    export = load_model(model, device="cpu").export_onnx(
        out,
        precision=precision,
        batch_size=batch_size,
        dynamic_batch_size=dynamic_batch_size,
        height=height,
        width=width,
        opset_version=opset_version,
        simplify=simplify,
        verify=verify,
        include_preprocessing=include_preprocessing,
        images=images,
        max_accuracy_drop=max_accuracy_drop,
    )
    answer = {"path": str(export.path), "bytes": export.size, "verification": str(export.verification)}
    _print_json(answer | ({} if export.accuracy is None else {"accuracy": str(export.accuracy)}))


@app.command
def export_tensorrt(
    model: Path,
    out: Path,
    *,
    precision: Literal["auto", "fp32", "fp16"] = "auto",
    min_batchsize: int = 1,
    opt_batchsize: int = 1,
    max_batchsize: int = 1,
    workspace_gb: float | None = None,
    timing_cache: Path | None = None,
    version_compatible: bool = False,
    hardware_compatible: bool = False,
    verbose: bool = False,
) -> None:
    """Write an exported model as a TensorRT engine for this machine's GPU, and as the ONNX file that it comes from.

    Args:
        model: Exported model (.pt).
        out: Engine to write (.trt, .engine, .plan); the ONNX file and the engine's description lie beside it.
        precision: Of the weights.
        min_batchsize: Smallest number of images at once.
        opt_batchsize: The number of images that the engine shall be fastest for.
        max_batchsize: Largest number of images at once.
        workspace_gb: Memory on the GPU that one operator may use, in GiB; all of it if not given.
        timing_cache: File with measurements of earlier builds, read where it is, and written anew.
        version_compatible: Let newer versions of TensorRT run the engine too.
        hardware_compatible: Let other GPUs of the Ampere generation or newer run it too.
        verbose: Show what TensorRT says.
    """
    from lightly_train.model import load_model

    export = load_model(model, device="cpu").export_tensorrt(
        out,
        precision=precision,
        min_batchsize=min_batchsize,
        opt_batchsize=opt_batchsize,
        max_batchsize=max_batchsize,
        workspace_gb=workspace_gb,
        timing_cache=timing_cache,
        version_compatible=version_compatible,
        hardware_compatible=hardware_compatible,
        verbose=verbose,
    )
    engine = export.engine
    _print_json({"path": str(engine.path), "bytes": engine.size, "verification": str(engine.verification)})


@app.command
def list_models(pattern: str = "*") -> None:
    """Print the names of models, one a line.

    Args:
        pattern: A shell pattern such as 'timm/resnet*'.
    """
    from lightly_train.models import list_models

    names = list_models(pattern)
    if not names:
        print(f"no model matches {pattern!r}", file=sys.stderr)
        raise SystemExit(EXIT_WRONG_INPUT)
    print("\n".join(names))


def _load(model: Path) -> ImageClassification | EdgeClassifier:
    if model.suffix.lower() in EDGE_ENDINGS:
        import lt_export

        return lt_export.load(model)
    from lightly_train.model import load_model

    return load_model(model)


def _from_yaml(text: str, where: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError([Problem(where, f"expected YAML such as {{key: value}}: {error}")]) from error


def _print_json(values: dict[str, Any]) -> None:
    print(json.dumps(values, ensure_ascii=False), flush=True)


def main() -> None:
    """Entry point: errors that a user can mend are one message and exit status 2."""
    try:
        command, bound, _ = app.parse_args(sys.argv[1:], exit_on_error=False)
    except CycloptsError as error:  # it has printed itself
        raise SystemExit(EXIT_WRONG_INPUT) from error
    # Settings check their own ranges while the arguments are read.
    except ValueError as error:
        print(f"ConfigError: {error}", file=sys.stderr)
        raise SystemExit(EXIT_WRONG_INPUT) from error
    try:
        command(*bound.args, **bound.kwargs)
    except KeyboardInterrupt:
        raise SystemExit(EXIT_CTRL_C) from None
    except BrokenPipeError:
        # Whoever read our output has seen enough; Python would complain again when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (LtDataError, LtTrainError, LtModelsError, LtExportError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        raise SystemExit(EXIT_WRONG_INPUT) from error


if __name__ == "__main__":
    main()
