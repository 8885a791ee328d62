"""`topk` and `threshold` from the query of a request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs
from starlette.datastructures import QueryParams

from lt_data import PredictionArgumentError, TaskSpec, Threshold, check_selection


@attrs.frozen(kw_only=True)
class Selection:
    """Which labels are asked for, as for `EdgeClassifier.predict`.

    Attributes:
        topk: Number of classes of a multiclass model.
        threshold: A multilabel model gives every class whose score is greater.
    """

    topk: int = 1
    threshold: Threshold = 0.5


def read_selection(query: QueryParams, task: TaskSpec) -> Selection:
    """The selection that a query asks for.

    Raises:
        PredictionArgumentError: A parameter is unknown, given twice, no number or out of range; says which.
    """
    given = {}
    for name, text in query.multi_items():
        if name not in PARAMETERS:
            raise PredictionArgumentError(f"unknown parameter {name!r}; there are {' and '.join(PARAMETERS)}")
        if name in given:
            raise PredictionArgumentError(f"{name} is given twice")
        try:
            given[name] = PARAMETERS[name](text)
        except ValueError as error:
            raise PredictionArgumentError(f"{name} must be {EXPECTED[name]}, got {text!r}") from error
    selection = Selection(**given)
    check_selection(task, topk=selection.topk, threshold=selection.threshold)
    return selection


def _threshold(text: str) -> Threshold:
    return "auto" if text == "auto" else float(text)


PARAMETERS: Mapping[str, Callable[[str], Any]] = {"topk": int, "threshold": _threshold}
EXPECTED: Mapping[str, str] = {"topk": "a number", "threshold": 'a number or "auto"'}
