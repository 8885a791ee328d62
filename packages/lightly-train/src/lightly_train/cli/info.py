"""`lightly-train info`."""

from __future__ import annotations

import json as json_format
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

NEEDED = (
    *("lightly-train", "lt-data", "lt-models", "lt-train", "lt-export"),
    *("torch", "torchvision", "timm", "lightning-fabric", "numpy", "pillow"),
)
"""What every installation has."""

EXTRAS = {
    "onnx": "onnx",
    "onnxruntime": "onnxruntime",
    "onnxslim": "onnxslim",
    "tensorrt": "tensorrt",
    "pydicom": "dicom",
    "pyarrow": "parquet",
    "tifffile": "tiff",
    "mlflow": "mlflow",
    "wandb": "wandb",
}
"""Packages that extras bring."""

CONTAINER_MEMORY = Path("/sys/fs/cgroup/memory.max")
"""Where Linux says how many bytes the container may have."""

STAND_INS = {"onnxruntime": ("onnxruntime-gpu",), "tensorrt": ("tensorrt-cu12", "tensorrt-cu13")}
"""Other names under which a package may be installed."""


def info(*, json: bool = False) -> None:
    """Print versions, what is not installed and how to get it, devices and processors.

    Args:
        json: Print JSON.
    """
    found = environment()
    if json:
        print(json_format.dumps(found, indent=2), flush=True)
        return
    rows = [("Python", f"{found['python']} on {found['system']}")]
    for name, installed in found["packages"].items():
        hint = f'not installed; pip install "lightly-train[{EXTRAS[name]}]"' if name in EXTRAS else "not installed"
        rows.append((name, installed or hint))
    rows += [("device", _device(device)) for device in found["devices"]]
    cores = found["processors"]
    rows.append(("processors", f"{cores['usable']} usable of {cores['machine']}"))
    if found["memory_gb"] is not None:
        rows.append(("memory", f"{found['memory_gb']} GB"))
    print("\n".join(f"{name:<18}{value}" for name, value in rows), flush=True)


def environment() -> dict[str, Any]:
    """All of it, as plain values."""
    from lt_data import usable_processors

    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "packages": {name: installed_version(name) for name in (*NEEDED, *EXTRAS)},
        "devices": devices(),
        "processors": {"usable": usable_processors(), "machine": os.cpu_count()},
        "memory_gb": memory_gb(),
    }


def installed_version(package: str) -> str | None:
    """The version of a package or of one that stands in for it, None where there is none."""
    for name in (package, *STAND_INS.get(package, ())):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return None


def devices() -> list[dict[str, Any]]:
    """What PyTorch can compute on, with memory in units of 10^9 bytes."""
    import torch

    found: list[dict[str, Any]] = []
    for i in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(i)
        memory = {"memory_gb": round(total / 1e9, 1), "free_gb": round(free / 1e9, 1)}
        found.append({"name": f"cuda:{i}", "model": torch.cuda.get_device_name(i), **memory})
    if torch.backends.mps.is_available():
        found.append({"name": "mps", "model": "Apple GPU"})
    return [*found, {"name": "cpu", "model": platform.processor() or platform.machine()}]


def memory_gb() -> float | None:
    """Memory of the machine, or what its container may have, in units of 10^9 bytes; None where nobody says."""
    try:
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
    try:
        allowed = int(CONTAINER_MEMORY.read_text())
    except (ValueError, OSError):  # there is no limit, or no container
        allowed = machine
    return round(min(machine, allowed) / 1e9, 1)


def _device(device: dict[str, Any]) -> str:
    memory = f", {device['free_gb']} of {device['memory_gb']} GB free" if "memory_gb" in device else ""
    return f"{device['name']}: {device['model']}{memory}"
