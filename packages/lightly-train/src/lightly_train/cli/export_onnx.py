"""`lightly-train export-onnx`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from lightly_train.cli.printing import print_json
from lt_export import shown_steps


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
        batch_size: Number of images of a fixed batch; ignored, with a warning, without --no-dynamic-batch-size.
        dynamic_batch_size: Accept any number of images.
        height: Of the input in pixels; the model's own if not given.
        width: Of the input in pixels; the model's own if not given.
        opset_version: ONNX operator set, at least 18; the exporter's choice if not given.
        simplify: Shorten the graph with onnxslim.
        verify: Compare the file's scores with the model's.
        include_preprocessing: Take decoded images of any size, and resize and normalise them in the graph.
        images: Folder of real images to verify and quantise with; class folders in it are the labels.
        max_accuracy_drop: For int8 alone: points of accuracy that it may lose on these images.
    """
    from lightly_train.loading import load_model

    with shown_steps():
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
    print_json(answer | ({} if export.accuracy is None else {"accuracy": str(export.accuracy)}))
