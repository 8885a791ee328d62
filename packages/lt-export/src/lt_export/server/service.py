"""One model, its limits and its counters: what the routes share."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lt_data import ImageDecodeError, select_labels
from lt_export.runtime.classifier import EdgeClassifier
from lt_export.server.config import ServerConfig
from lt_export.server.metrics import Metrics
from lt_export.server.selection import Selection
from lt_export.server.work import Work


class Service:
    """State of a server.

    Attributes:
        classifier: The model.
        config: The limits.
        work: Requests in work.
        metrics: What is counted.
        stopping: Whether the server was told to stop; new work is turned away then.
    """

    def __init__(self, classifier: EdgeClassifier, config: ServerConfig, routes: Sequence[str]) -> None:
        self.classifier = classifier
        self.config = config
        self.work = Work(config.max_concurrent, config.max_waiting)
        self.metrics = Metrics(classifier, routes, lambda: self.work.admitted)
        self.stopping = False

    def classify(self, contents: Sequence[bytes], selection: Selection) -> list[dict[str, list[Any]]]:
        """Labels, names and scores of images; the scores are those of `EdgeClassifier.predict`, to the bit.

        Raises:
            ImageDecodeError: One is not an image that lt-data reads; of several, says which.
        """
        began = time.perf_counter()
        prepared = [self._prepare(contents, i) for i in range(len(contents))]
        ready = time.perf_counter()
        scores = self.classifier.run(prepared)
        self.metrics.preprocess_seconds.observe(ready - began)
        self.metrics.model_seconds.observe(time.perf_counter() - ready)
        self.metrics.images.inc(len(contents))
        return [self._answer(row, selection) for row in scores]

    def _prepare(self, contents: Sequence[bytes], index: int) -> npt.NDArray[Any]:
        try:
            return self.classifier.prepare(contents[index], max_pixels=self.config.max_pixels)
        except ImageDecodeError as error:
            if len(contents) == 1:
                raise
            raise ImageDecodeError(f"file {index + 1} of {len(contents)}: {error}") from error

    def _answer(self, scores: npt.NDArray[np.float32], selection: Selection) -> dict[str, list[Any]]:
        task = self.classifier.task
        chosen = select_labels(scores, task, topk=selection.topk, threshold=selection.threshold)
        names, labels = task.classes.as_dict(), chosen["labels"].tolist()
        return {"labels": labels, "names": [names[label] for label in labels], "scores": chosen["scores"].tolist()}
