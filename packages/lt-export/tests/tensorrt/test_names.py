"""Every name of TensorRT that our code uses exists in 10.13 and in 11.4, and the fakes have no names of their own."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import lt_export

SOURCES = Path(lt_export.__file__).parent
MODULES = ("runtime/tensorrt_library.py", "runtime/tensorrt_runner.py", "tensorrt/network.py")
LISTS = ("names_10_13.txt", "names_11_4.txt")

OURS = {
    "runtime/tensorrt_library.py": {
        *("append", "clear", "error", "errors", "group", "join", "reason", "split", "verbose", "warning"),
    },
    "runtime/tensorrt_runner.py": {
        *("addresses", "classes", "device", "image_size", "items", "join", "largest", "num_channels", "preprocessing"),
        *("reason", "shape", "smallest", "stream"),
    },
    "tensorrt/network.py": {
        *("join", "reason", "verbose", "batch", "smallest", "best", "largest", "num_channels", "image_size"),
        *("workspace_bytes", "timing_cache", "version_compatible", "hardware_compatible"),
    },
}
"""Attributes of our own objects in these modules; all others are taken for TensorRT's."""


def names(file: str) -> set[str]:
    lines = (Path(__file__).parent / file).read_text(encoding="utf-8").splitlines()
    return {line for line in lines if not line.startswith("#")}


def imported(tree: ast.Module) -> set[str]:
    """Modules and names that are no part of TensorRT."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {alias.asname or alias.name for alias in node.names if alias.name != "tensorrt"}
    return found


def root(node: ast.AST) -> str:
    while isinstance(node, (ast.Attribute, ast.Call, ast.Subscript)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def used(module: str) -> set[str]:
    """Attributes of anything but what is imported from elsewhere, and of `self` beyond its own."""
    tree = ast.parse((SOURCES / module).read_text(encoding="utf-8"))
    elsewhere = imported(tree)
    found = set()
    for node in ast.walk(tree):
        own = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"
        if isinstance(node, ast.Attribute) and not own and root(node) not in elsewhere:
            found.add(node.attr)
    return found - OURS[module]


def offered(library: object) -> set[str]:
    """Names in a fake and in its classes."""
    found = set()
    for name, value in vars(library).items():
        if not name.startswith("__") or name == "__version__":
            found.add(name)
        if isinstance(value, type):
            found |= {inner for inner in vars(value) if not inner.startswith("_")}
    return found - {"deserialized", "name", "value"}


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("known", LISTS)
def test_every_name_that_we_use_is_one_of_tensorrts(module, known):
    assert used(module) - names(known) == set()


def test_the_names_that_only_one_version_has_are_told_apart():
    ten, eleven = (names(known) for known in LISTS)
    assert {"FP16", "EXPLICIT_BATCH", "platform_has_fast_fp16", "int8_calibrator"} <= ten - eleven
    assert {"IAttention", "all_build_routes"} <= eleven - ten
    assert {"STRONGLY_TYPED", "ERROR", "get_tensor_profile_shape", "__version__"} <= ten & eleven


def test_calls_of_tensorrt_are_found():
    assert {"Builder", "create_network", "parse", "set_shape", "hardware_compatibility_level"} <= used(MODULES[2])
    assert {"Runtime", "deserialize_cuda_engine", "get_tensor_shape", "AMPERE_PLUS"} <= used(MODULES[1])
    assert {"ILogger", "Severity", "INTERNAL_ERROR", "__version__"} <= used(MODULES[0])


@pytest.mark.parametrize("other", list(SOURCES.rglob("*.py")), ids=lambda path: path.stem)
def test_no_other_module_imports_tensorrt(other):
    tree = ast.parse(other.read_text(encoding="utf-8"))
    imports = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    assert ("tensorrt" in imports) == (other.relative_to(SOURCES).as_posix() in MODULES)


@pytest.mark.parametrize(("major", "known"), zip((10, 11), LISTS, strict=True))
def test_the_fakes_offer_nothing_that_their_version_lacks(install_gpu, major, known):
    assert offered(install_gpu(major).tensorrt) - names(known) == set()


def test_every_name_of_cuda_that_we_use_exists():
    """In the real package, which needs no GPU for it; the fake has them too, or nothing would run."""
    real = pytest.importorskip("cuda.bindings.runtime", reason="the extra `tensorrt` brings cuda-bindings")
    tree = ast.parse((SOURCES / "runtime/cuda.py").read_text(encoding="utf-8"))
    found = {node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and root(node) == "runtime"}
    first = {node.attr for node in found if isinstance(node.value, ast.Name)}
    second = {(node.value.attr, node.attr) for node in found if isinstance(node.value, ast.Attribute)}
    assert {name for name in first if not hasattr(real, name)} == set()
    assert {pair for pair in second if not hasattr(getattr(real, pair[0]), pair[1])} == set()
    assert {"cudaMalloc", "cudaMemcpyAsync", "cudaStreamSynchronize"} <= first
