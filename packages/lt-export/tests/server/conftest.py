from __future__ import annotations

import io
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import attrs
import httpx
import numpy as np
import pytest
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

import lt_export
from lt_export import EdgeClassifier


@attrs.frozen
class Served:
    """A server process and ways to talk to it."""

    process: subprocess.Popen[str]
    url: str
    log: Path
    client: httpx.Client

    def predict(self, content: bytes, **query: object) -> httpx.Response:
        return self.client.post("/predict", content=content, params=query, headers={"Content-Type": "image/*"})

    def samples(self) -> dict[tuple[str, ...], float]:
        """Metrics by name and label values."""
        families = text_string_to_metric_families(self.client.get("/metrics").text)
        return {(one.name, *one.labels.values()): one.value for family in families for one in family.samples}

    def wait_for_work(self, count: int) -> None:
        wait_until(lambda: self.samples()[("lt_export_requests_in_work",)] == count)

    def connect(self) -> socket.socket:
        address = urlsplit(self.url)
        return socket.create_connection((address.hostname, address.port), timeout=20)

    def begin(self, content: bytes, *, sent: int) -> socket.socket:
        """A request of which only the first bytes of the body are sent."""
        connection = self.connect()
        connection.sendall(head(len(content)) + content[:sent])
        return connection


def head(length: int) -> bytes:
    return f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: {length}\r\n\r\n".encode()


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


@contextmanager
def running(model: Path, log: Path, *options: object) -> Iterator[Served]:
    program = [sys.executable, "-m", "lt_export.cli", "serve", str(model), "--port", "0", *map(str, options)]
    with (
        log.open("w") as errors,
        subprocess.Popen(program, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.search(r"http://\S+:\d+", line)
            assert found, f"{line!r} {log.read_text()}"
            with httpx.Client(base_url=found[0], trust_env=False, timeout=20) as client:
                yield Served(process, found[0], log, client)
        finally:
            process.kill()


Serve = Callable[..., AbstractContextManager[Served]]


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory, onnx_writer: Callable[..., Path]) -> Path:
    return onnx_writer(tmp_path_factory.mktemp("model") / "model.onnx")


@pytest.fixture(scope="session")
def classifier(model: Path) -> EdgeClassifier:
    return lt_export.load(model)


@pytest.fixture(scope="session")
def served(model: Path) -> Iterator[Served]:
    """A server with the default limits, for tests that leave it as it is."""
    with running(model, model.parent / "log.txt", "--max-waiting", 64) as one:
        yield one


@pytest.fixture
def serve(model: Path, tmp_path: Path) -> Serve:
    """Start a server of one's own: `with serve("--max-waiting", 0) as served`."""
    return lambda *options, model=model: running(model, tmp_path / "log.txt", *options)


@pytest.fixture(scope="session")
def png() -> bytes:
    """A reddish image."""
    return encoded(np.full((30, 40, 3), (200, 10, 30), np.uint8), "PNG")


def encoded(pixels: np.ndarray, kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()
