from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[4] / "examples" / "cpp"


def missing() -> str | None:
    """What is not at hand for building the example."""
    if not os.environ.get("ONNXRUNTIME_ROOT"):
        return "ONNXRUNTIME_ROOT does not name a folder with include/ and lib/ of ONNX Runtime"
    if not any(map(shutil.which, (os.environ.get("CXX", "c++"), "g++", "clang++"))):
        return "there is no C++ compiler"
    if not any(map(shutil.which, ("make", "ninja"))):
        return "there is neither make nor ninja"
    return None if shutil.which("cmake") else "there is no cmake"


@pytest.fixture(scope="session")
def program(tmp_path_factory) -> Path:
    """The example, compiled; tests are skipped where that cannot be, unless LT_EXPORT_CPP says that it is needed."""
    reason = missing()
    if reason and os.environ.get("LT_EXPORT_CPP") == "needed":
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    build = tmp_path_factory.mktemp("build")
    json = importlib.util.find_spec("nlohmann_json")
    options = [
        f"-DONNXRUNTIME_ROOT={os.environ['ONNXRUNTIME_ROOT']}",
        f"-DCMAKE_PREFIX_PATH={Path(json.origin).parent if json and json.origin else ''}",
        "-DCMAKE_COMPILE_WARNING_AS_ERROR=ON",
    ]
    for command in (["cmake", "-S", EXAMPLE, "-B", build, *options], ["cmake", "--build", build]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return build / "classify"
