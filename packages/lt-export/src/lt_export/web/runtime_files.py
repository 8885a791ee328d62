"""The runtime of the page: onnxruntime-web, one pinned version, from npm or from a copy at hand."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import logging
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

from lt_export.errors import ExportError

logger = logging.getLogger(__name__)

PACKAGE = "onnxruntime-web"
VERSION = "1.30.0"
INTEGRITY = "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
"""Of the package's archive, as `npm view onnxruntime-web@VERSION dist.integrity` gives it."""

FILES = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
"""Of the folder `dist`: the build without WebGPU, half as large as the one with it."""

TIMEOUT_SECONDS = 600


def runtime_files(source: Path | None) -> Mapping[str, bytes]:
    """The files of onnxruntime-web that the page needs, by name.

    Args:
        source: The package's .tgz as `npm pack` writes it, or its unpacked folder; None asks npm for it.

    Raises:
        ExportError: npm is missing or fails, or `source` is not the pinned version.
    """
    if source is None:
        return _from_npm()
    if source.is_dir():
        return _from_folder(source)
    return _from_archive(source)


def _from_npm() -> Mapping[str, bytes]:
    npm = shutil.which("npm")
    if npm is None:
        raise ExportError(
            f"{PACKAGE} comes from npm, which is not on the PATH; install Node.js, or run "
            f"`npm pack {PACKAGE}@{VERSION}` elsewhere and give the file as onnxruntime_web"
        )
    logger.info("fetching %s %s with npm", PACKAGE, VERSION)
    # In a folder of its own, so that no .npmrc of the current one has a say.
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", "--loglevel=error", "--ignore-scripts", f"{PACKAGE}@{VERSION}"]
        try:
            done = subprocess.run(
                command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise ExportError(f"`{' '.join(command[1:])}` took more than {TIMEOUT_SECONDS} seconds") from error
        archives = list(Path(folder).glob("*.tgz"))
        if done.returncode or len(archives) != 1:
            output = (done.stderr or done.stdout).strip() or "it wrote no archive"
            raise ExportError(f"`npm pack {PACKAGE}@{VERSION}` failed: {output}")
        return _from_archive(archives[0])


def _from_archive(path: Path) -> Mapping[str, bytes]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ExportError(f"{path}: {error.strerror}; expected the .tgz or the folder of {PACKAGE}") from error
    found = "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()
    if found != INTEGRITY:
        raise ExportError(f"{path}: is not {PACKAGE} {VERSION}; its integrity is {found}, expected {INTEGRITY}")
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        # Only plain files with exactly these names; nothing is unpacked to the disk.
        members = {member.name: member for member in archive if member.isreg()}
        streams = {name: archive.extractfile(members[f"package/dist/{name}"]) for name in FILES}
        return {name: stream.read() for name, stream in streams.items() if stream is not None}


def _from_folder(folder: Path) -> Mapping[str, bytes]:
    try:
        package = json.loads((folder / "package.json").read_bytes())
        found = f"{package['name']} {package['version']}"
        if found != f"{PACKAGE} {VERSION}":
            raise ExportError(f"{folder}: is {found}, expected {PACKAGE} {VERSION}")
        return {name: (folder / "dist" / name).read_bytes() for name in FILES}
    except OSError as error:
        raise ExportError(f"{error.filename}: {error.strerror}; expected the folder of {PACKAGE} {VERSION}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ExportError(f"{folder / 'package.json'}: does not name a package and its version") from error
