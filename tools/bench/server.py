"""What the server adds to a prediction, and how many requests at work at the same time pay: for docs/server.md.

    python tools/bench/server.py [model.onnx]

On loopback, with JPEGs of 500 x 375 and 4000 x 3000 pixels; without a model, with an
untrained ResNet-18 that PyTorch exports first.
"""

from __future__ import annotations

import http.client
import io
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

import lt_export
from lt_data import Classes, Preprocessing, TaskSpec

ROUNDS, REQUESTS, WARM_UP = 5, 24, 2
CLIENTS, CONCURRENT = (1, 4), (1, 2)
SIZES = ((375, 500), (3000, 4000))


def photo(height: int, width: int) -> bytes:
    """A JPEG of that many pixels, smooth as photographs are."""
    coarse = np.random.default_rng(0).integers(0, 256, (38, 50, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def export(folder: Path) -> Path:
    """An untrained ResNet-18."""
    from lt_models import ClassifierSpec, build_classifier

    spec = Preprocessing(image_size=(224, 224))
    task = TaskSpec(task="multiclass", classes=Classes((0, 1), ("a", "b")), preprocessing=spec)
    classifier = build_classifier(ClassifierSpec(model="timm/resnet18-notpretrained", num_classes=2))
    return lt_export.export_onnx(classifier, task, folder / "model.onnx").path


def measure(clients: int, connect: Callable[[], Callable[[], object]]) -> tuple[float, float, float]:
    """Requests a second, and median and 95th percentile of a request's seconds, of clients that never pause."""

    def client(_: int) -> tuple[float, list[float]]:
        request, times = connect(), []
        for _ in range(WARM_UP):
            request()
        first = time.perf_counter()
        for _ in range(REQUESTS // clients):
            began = time.perf_counter()
            request()
            times.append(time.perf_counter() - began)
        return first, times

    with ThreadPoolExecutor(clients) as pool:
        found = list(pool.map(client, range(clients)))
    seconds = time.perf_counter() - min(first for first, _ in found)
    times = [one for _, times in found for one in times]
    return len(times) / seconds, float(np.percentile(times, 50)), float(np.percentile(times, 95))


@contextmanager
def serving(model: Path, concurrent: int) -> Iterator[int]:
    """A server process; gives its port."""
    options = ("--port", "0", "--max-concurrent", str(concurrent))
    program = [sys.executable, "-m", "lt_export.cli", "serve", str(model), *options]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.search(r":(\d+),", process.stdout.readline())
        assert found is not None
        try:
            yield int(found[1])
        finally:
            process.terminate()


def connection_to(port: int, content: bytes) -> Callable[[], object]:
    """A function that posts an image over a connection that stays."""
    connection = http.client.HTTPConnection("127.0.0.1", port)

    def post() -> object:
        connection.request("POST", "/predict", content, {"Content-Type": "image/jpeg"})
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 200, body
        return body

    return post


def report(name: str, rounds: list[tuple[float, float, float]]) -> None:
    """Print the medians of all rounds."""
    rate, p50, p95 = (statistics.median(values) for values in zip(*rounds, strict=True))
    print(f"{name}: {rate:.1f} requests/s, p50 {p50 * 1e3:.1f} ms, p95 {p95 * 1e3:.1f} ms", flush=True)


def main(model: Path | None) -> None:
    """Print the load of the machine and the figures; rounds of all settings take turns."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as servers:
        model = model or export(Path(folder))
        classifier = lt_export.load(model)
        ports = {concurrent: servers.enter_context(serving(model, concurrent)) for concurrent in CONCURRENT}
        print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.2f} before")
        for height, width in SIZES:
            content = photo(height, width)
            found: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
            for _ in range(ROUNDS):
                found["bare, 1 thread"].append(measure(1, partial(partial, classifier.predict, content)))
                for concurrent, port in ports.items():
                    for clients in CLIENTS:
                        name = f"{clients} clients, max_concurrent {concurrent}"
                        found[name].append(measure(clients, partial(connection_to, port, content)))
            print(f"JPEG of {width} x {height}, {len(content)} bytes")
            for name, rounds in found.items():
                report(name, rounds)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
