"""What a model says of labelled images, for everything that judges it: evaluation, calibration, reports."""

from __future__ import annotations

import attrs
import numpy as np
import numpy.typing as npt

from lt_data import Problem, SampleIndex, TaskSpec


@attrs.frozen(eq=False, kw_only=True)
class ScoredSamples:
    """Labelled images and their scores.

    Attributes:
        task: Task, classes and preprocessing of the model.
        samples: The images and their labels, N of them.
        scores: Probabilities of all classes in output order, float32 of shape (N, classes), as `predict` gives them.
        unreadable: Images that could not be read, and why; they are not among the samples.
        logits: What the scores come from, of the same shape; None where they were not asked for.
    """

    task: TaskSpec
    samples: SampleIndex
    scores: npt.NDArray[np.float32]
    unreadable: tuple[Problem, ...] = ()
    logits: npt.NDArray[np.float32] | None = None

    @property
    def truth(self) -> npt.NDArray[np.int64] | npt.NDArray[np.bool_]:
        """Class index of each image, int64 (N,); for multilabel whether it has each class, bool (N, classes)."""
        if self.task.task == "multiclass":
            return self.samples.labels.astype(np.int64)
        present = np.zeros(self.scores.shape, dtype=np.bool_)
        for row in range(len(self.samples)):
            present[row, self.samples.labels_of(row)] = True
        return present
