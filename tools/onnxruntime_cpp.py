"""Lay ONNX Runtime out for C++ as its release archives do, `include` and `lib`, from packages of PyPI and npm.

    python tools/onnxruntime_cpp.py FOLDER

The library is the one inside of the Python package onnxruntime, so that both languages run the same code. The headers,
which that package lacks, are those in an npm package of ONNX Runtime for Unity, held by its hash; a library knows the
interfaces of all older headers. For Linux. Where a release archive can be had, it is the shorter way.
"""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import onnxruntime

HEADERS = "com.github.asus4.onnxruntime@0.4.9"
SHA512 = "BkzxduSZ9IkeDP6Q8lz2TFU2ie7hSSvS7ZIfzMooExoq0CNzJnuuGaUJ7IsojBgqO4ouD1jXah8OYyJbCN29Fg=="
INSIDE = "/ios-arm64/onnxruntime.framework/Headers/"


def main(folder: Path) -> None:
    """Fill `folder`, unless that was done before."""
    include, lib = folder / "include", folder / "lib"
    if not (include / "onnxruntime_cxx_api.h").is_file():
        include.mkdir(parents=True, exist_ok=True)
        fetch_headers(include)
    api = re.search(r"#define ORT_API_VERSION (\d+)", (include / "onnxruntime_c_api.h").read_text())
    if api is None or int(onnxruntime.__version__.split(".")[1]) < int(api[1]):
        raise SystemExit(f"onnxruntime {onnxruntime.__version__} is older than the headers")
    lib.mkdir(exist_ok=True)
    link(lib / "libonnxruntime.so.1", library())
    link(lib / "libonnxruntime.so", Path("libonnxruntime.so.1"))
    print(f"ONNX Runtime {onnxruntime.__version__}, headers of 1.{api[1]}: {folder}")


def fetch_headers(include: Path) -> None:
    """Unpack the headers of the npm package."""
    with tempfile.TemporaryDirectory() as download:
        subprocess.run(["npm", "pack", "--silent", HEADERS, "--pack-destination", download], check=True)
        (archive,) = Path(download).iterdir()
        if hashlib.sha512(archive.read_bytes()).digest() != base64.b64decode(SHA512):
            raise SystemExit(f"{HEADERS} is not what it was")
        with tarfile.open(archive) as content:
            for member in content:
                if INSIDE in member.name and (stream := content.extractfile(member)):
                    (include / Path(member.name).name).write_bytes(stream.read())


def library() -> Path:
    """The shared library of the Python package."""
    found = list((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so*"))
    if len(found) != 1:
        raise SystemExit(f"onnxruntime {onnxruntime.__version__} for this machine has no library for C++")
    return found[0]


def link(path: Path, target: Path) -> None:
    """Make a symbolic link, in the place of an older one."""
    path.unlink(missing_ok=True)
    path.symlink_to(target)


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
