from __future__ import annotations

import functools
import http.server
import json
import os
import re
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import attrs
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import lt_export
from lt_data import Calibration, Classes, Preprocessing, TaskSpec
from lt_export.metadata import to_metadata
from lt_export.probes import PROBES, probe_images
from lt_export.runtime.description import Description
from lt_export.web.runtime_files import PACKAGE, VERSION

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
CHROMIUM_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)

HARMLESS = "GPU stall due to ReadPixels"
"""A note on speed that Chromium's software WebGL makes."""


def unavailable(reason: str) -> NoReturn:
    """Skip the test; in CI, where all that it needs is installed, fail it."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def program(*names: str) -> str:
    found = next((path for path in map(shutil.which, names) if path), None)
    return found or unavailable(f"no {names[0]} on this machine")


@pytest.fixture(scope="session")
def archive(tmp_path_factory) -> Path:
    """The pinned onnxruntime-web from npm, once for all tests."""
    folder = tmp_path_factory.mktemp("npm")
    subprocess.run([program("npm"), "pack", "--loglevel=error", f"{PACKAGE}@{VERSION}"], cwd=folder, check=True)
    (found,) = folder.glob("*.tgz")
    return found


@pytest.fixture(scope="session")
def package(archive, tmp_path_factory) -> Path:
    """The same unpacked, which is faster to use."""
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(archive) as stream:
        stream.extractall(folder, filter="data")
    return folder / "package"


@attrs.frozen
class Script:
    """The page's modules, run by Node.js."""

    process: subprocess.Popen[str]

    def __call__(self, module: str, name: str, *arguments: Any) -> Any:
        self.process.stdin.write(json.dumps({"module": module, "name": name, "arguments": arguments}) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        if "error" in answer:
            raise ValueError(answer["error"])
        return answer["result"]


@pytest.fixture(scope="session")
def script() -> Iterator[Script]:
    page = Path(lt_export.__file__).parent / "web/page"
    command = [program("node"), str(Path(__file__).parent / "answer.mjs"), str(page)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Script(process)
        process.stdin.close()


def task_spec(task: str = "multiclass", calibration: Calibration | None = None, **preprocessing: Any) -> TaskSpec:
    values = {"image_size": (24, 32), "num_channels": 3, **preprocessing}
    channels = values["num_channels"]
    statistics = {"mean": (0.485, 0.456, 0.406, 0.5)[:channels], "std": (0.229, 0.224, 0.225, 0.25)[:channels]}
    return TaskSpec(
        task=task,
        classes=Classes((10, 20, 30, -(2**63)), ("<b>cat</b>", "dog & wolf", "ship", "Mühle")),
        preprocessing=Preprocessing(**{**statistics, **values}),
        calibration=calibration or Calibration(),
    )


@pytest.fixture
def make_model(tmp_path) -> Callable[..., Path]:
    """Write a small network with random weights, in which every pixel counts: `make_model(task="multilabel")`."""

    def make(
        task: str = "multiclass", *, batch: int | str = "N", raw: bool = False, name: str = "model", **spec: Any
    ) -> Path:
        described = Description(
            task=task_spec(task, **spec),
            precision="fp32",
            includes_preprocessing=raw,
            version="0",
            checkpoint_sha256="",
            reference_scores=np.empty((0, 4), np.float32),
        )
        path = tmp_path / f"{name}.onnx"
        proto = network(described, batch)
        helper.set_model_props(proto, to_metadata(described))
        onnx.save(proto, path)
        scores = lt_export.load(path).scores(probe_images(described.task.preprocessing, PROBES))
        helper.set_model_props(proto, to_metadata(attrs.evolve(described, reference_scores=scores)))
        onnx.save(proto, path)
        return path

    return make


def network(described: Description, batch: int | str) -> onnx.ModelProto:
    spec, classes = described.task.preprocessing, len(described.task.classes)
    height, width = spec.image_size
    rng = np.random.default_rng(0)
    features = 4 * (height // 2) * (width // 2)
    weights = {
        "kernel": rng.normal(0, 0.5, (4, spec.num_channels, 3, 3)),
        "head": rng.normal(0, 2 / np.sqrt(features), (features, classes)),
    }
    constants = [numpy_helper.from_array(value.astype(np.float32), key) for key, value in weights.items()]
    nodes = []
    if described.includes_preprocessing:
        shape, kind, source = [batch, "H", "W", spec.num_channels], TensorProto.UINT8, "resized"
        constants.append(numpy_helper.from_array(np.array([height, width], np.int64), "size"))
        constants.append(numpy_helper.from_array(np.array(127.5, np.float32), "half"))
        nodes += [
            helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("Div", ["floats", "half"], ["scaled"]),
            helper.make_node("Transpose", ["scaled"], ["planes"], perm=[0, 3, 1, 2]),
            helper.make_node("Resize", ["planes", "", "", "size"], ["resized"], axes=[2, 3], mode="linear"),
        ]
    else:
        shape, kind, source = [batch, spec.num_channels, height, width], TensorProto.FLOAT, "images"
    nodes += [
        helper.make_node("Conv", [source, "kernel"], ["found"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["found"], ["positive"]),
        helper.make_node("Flatten", ["positive"], ["flat"]),
        helper.make_node("MatMul", ["flat", "head"], ["logits"]),
        helper.make_node("Softmax" if described.task.task == "multiclass" else "Sigmoid", ["logits"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("images", kind, shape)],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [batch, classes])],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """Serve a folder at an address of its own: `serve(folder, isolated=True)` with the headers that threads need."""
    servers: list[http.server.ThreadingHTTPServer] = []

    def start(folder: Path, *, isolated: bool = False) -> str:
        class Handler(http.server.SimpleHTTPRequestHandler):
            def end_headers(self) -> None:
                if isolated:
                    self.send_header("Cross-Origin-Opener-Policy", "same-origin")
                    self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
                super().end_headers()

            def log_message(self, *arguments: Any) -> None:
                pass

        handler = functools.partial(Handler, directory=str(folder))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    path = program(*BROWSERS)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        unavailable("the package playwright is not installed")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=list(CHROMIUM_ARGUMENTS))
        yield browser
        browser.close()


@attrs.frozen
class Visit:
    """A page that is open, and what it did."""

    page: Any
    requests: list[str]
    complaints: list[str]

    def classify(self, file: Path | dict[str, Any]) -> dict[str, float]:
        """Choose a file; scores by class ID, in the order of the page."""
        self.page.set_input_files("#file", file)
        name = file["name"] if isinstance(file, dict) else file.name
        self.wait_for_status(f"{name}: ")
        return self.labels()

    def wait_for_status(self, text: str) -> None:
        """Wait until the status has `text`."""
        self.page.locator("#status", has_text=text).wait_for()

    def labels(self) -> dict[str, float]:
        items = "items => items.map(({dataset}) => [dataset.label, Number(dataset.score)])"
        return dict(self.page.eval_on_selector_all("#labels li", items))

    @property
    def status(self) -> str:
        return self.page.inner_text("#status")


@pytest.fixture
def visit(chromium) -> Iterator[Callable[..., Visit]]:
    """Open a page: `visit(url, color_scheme="dark")`. It must stay with its server and keep the console empty."""
    opened: list[tuple[str, Visit]] = []

    def start(url: str, **options: Any) -> Visit:
        context = chromium.new_context(**options)
        found = Visit(context.new_page(), [], [])
        found.page.on("console", lambda message: found.complaints.append(message.text))
        found.page.on("pageerror", lambda error: found.complaints.append(str(error)))
        context.on("request", lambda request: found.requests.append(request.url))
        opened.append((url, found))
        found.page.goto(url)
        found.page.locator("#status", has_not_text=re.compile("^Loading")).wait_for()
        return found

    yield start
    for url, found in opened:
        found.page.context.close()
        assert [request for request in found.requests if not request.startswith((url, f"blob:{url}", "data:"))] == []
        assert [text for text in found.complaints if HARMLESS not in text] == []


@pytest.fixture
def open_model(make_model, package, serve, visit, tmp_path) -> Callable[..., tuple[Visit, Any]]:
    """The page of a model and the classifier in Python: `page, classifier = open_model(task="multilabel")`."""

    def start(*, context: dict[str, Any] | None = None, isolated: bool = False, **model: Any) -> tuple[Visit, Any]:
        path = make_model(**model)
        lt_export.write_site(path, tmp_path / "site", title="Cats & <dogs>", onnxruntime_web=package)
        opened = visit(serve(tmp_path / "site", isolated=isolated), **(context or {}))
        assert opened.status == "Ready."
        return opened, lt_export.load(path)

    return start
