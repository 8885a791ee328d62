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

Answer = dict[str, Any]
"""Of one image, for JSON: `labels`, `names` and `scores`, or `error`."""


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

    def classify(self, contents: Sequence[bytes], selection: Selection) -> list[Answer]:
        """Labels, names and scores of images; the scores are those of `EdgeClassifier.predict`, to the bit.

        What is not an image that lt-data reads has its `error`, a sentence, in their place; the others are classified.
        """
        began = time.perf_counter()
        prepared = [self._prepare(content) for content in contents]
        images = [one for one in prepared if not isinstance(one, ImageDecodeError)]
        self.metrics.unreadable.inc(len(prepared) - len(images))
        rows = iter(self._run(images, began) if images else ())
        return [
            {"error": str(one)} if isinstance(one, ImageDecodeError) else self._answer(next(rows), selection)
            for one in prepared
        ]

    def _prepare(self, content: bytes) -> npt.NDArray[Any] | ImageDecodeError:
        try:
            return self.classifier.prepare(content, max_pixels=self.config.max_pixels)
        except ImageDecodeError as error:
            return error

    def _run(self, images: Sequence[npt.NDArray[Any]], began: float) -> npt.NDArray[np.float32]:
        ready = time.perf_counter()
        scores = self.classifier.run(images)
        self.metrics.preprocess_seconds.observe(ready - began)
        self.metrics.model_seconds.observe(time.perf_counter() - ready)
        self.metrics.images.inc(len(images))
        return scores

    def _answer(self, scores: npt.NDArray[np.float32], selection: Selection) -> Answer:
        task = self.classifier.task
        chosen = select_labels(scores, task, topk=selection.topk, threshold=selection.threshold)
        names, labels = task.classes.as_dict(), chosen["labels"].tolist()
        return {"labels": labels, "names": [names[label] for label in labels], "scores": chosen["scores"].tolist()}
