"""`lightly-train export-tensorrt`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from lightly_train.cli.printing import print_json
from lt_export import shown_steps


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
    from lightly_train.loading import load_model

    with shown_steps():
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
    print_json({"path": str(engine.path), "bytes": engine.size, "verification": str(engine.verification)})
