"""Tallies by task, and the names of what they give."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import attrs

from lt_data import listed, nearest
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
        problem = f"auto watches {name!r}, which is turned off" if asked == "auto" else _not_computed(name, names, plan)
        raise TrainConfigError(f"metric_args.watch_metric: {problem}; there are {listed(names, 60)}")
    return name


def _not_computed(name: str, names: list[str], plan: MetricPlan) -> str:
    """What is wrong with a name, and what was probably meant."""
    of_classes = watchable(attrs.evolve(plan, classwise=True))
    if name in of_classes:
        return f"{name!r} is computed only where each class has values of its own: set metric_args.classwise to true"
    # The common prefix would make all names look alike.
    known = {one.removeprefix(VAL): one for one in [*names, *of_classes]}
    asked = name.removeprefix(VAL)
    near = nearest(asked, known) or next((one for one in known if one.startswith(asked)), None)
    if near is None:
        return f"{name!r} is not computed"
    meant = known[near]
    needed = "" if meant in names else " That needs metric_args.classwise to be true"
    return f"{name!r} is not computed (did you mean {meant!r}?{needed})"


def is_classwise(name: str) -> bool:
    """Whether a logged name, such as `val_metric/f1/cat`, is that of one class."""
    return name.count("/") > 1
