"""Tallies by task, and the names of what they give."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from types import MappingProxyType

from lt_data import listed
from lt_train.errors import TrainConfigError
from lt_train.metrics.config import TaskName
from lt_train.metrics.multiclass import MulticlassTally
from lt_train.metrics.multilabel import MultilabelTally
from lt_train.metrics.plan import LOSS, VAL, WATCHED, MetricPlan
from lt_train.metrics.tally import Tally

TALLIES: Mapping[TaskName, Callable[[MetricPlan], Tally]] = MappingProxyType(
    {"multiclass": MulticlassTally, "multilabel": MultilabelTally}
)


def make_tally(plan: MetricPlan) -> Tally:
    """A tally that has counted nothing."""
    return TALLIES[plan.task](plan)


def watchable(plan: MetricPlan) -> list[str]:
    """Logged names of all validation values."""
    return [LOSS, *(f"{VAL}{name}" for name in make_tally(plan).values())]


def watched_metric(asked: str, plan: MetricPlan) -> str:
    """The logged name that decides which model is best.

    Raises:
        TrainConfigError: It is not computed; lists what is.
    """
    name = WATCHED[plan.task] if asked == "auto" else asked
    names = watchable(plan)
    if name not in names:
        problem = f"auto watches {name!r}, which is turned off" if asked == "auto" else f"{name!r} is not computed"
        near = get_close_matches(name, names, n=1) if asked != "auto" else []
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise TrainConfigError(f"metric_args.watch_metric: {problem}{hint}; there are {listed(names, 60)}")
    return name


def is_classwise(name: str) -> bool:
    """Whether a logged name, such as `val_metric/f1/cat`, is that of one class."""
    return name.count("/") > 1
