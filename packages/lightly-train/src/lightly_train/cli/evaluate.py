"""`lightly-train evaluate`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import attrs

from lightly_train.cli.labelled import AS_GIVEN, KINDS, LabelledData
from lightly_train.cli.options import Option, options_of_class
from lightly_train.cli.printing import print_json
from lightly_train.cli.typed import read_as
from lightly_train.cli.unreadable import EXIT_UNREADABLE, unreadable_rows
from lightly_train.run_config import asked
from lt_data import at_least
from lt_train import MetricArgs

SUMMARY = (
    "Measure a model on a split of a data set and print as JSON the metrics, how many images they are of, and which "
    "were unreadable: with any such the exit status is 2."
)
POSITIONAL = ("model", "data")


@attrs.frozen(kw_only=True)
class Arguments:
    """What is measured.

    Attributes:
        model: Exported model (.pt), ONNX file (.onnx), or TensorRT engine (.trt, .engine, .plan).
        data: YAML file as for train, a folder with one folder of images a class, or a CSV or Parquet file; or keys as
            options, of which only those of the split need be there.
        split: Which images.
        metric_args: As for train.
        device: Where the model runs, such as cpu or cuda; auto takes the best that is there.
        batch_size: Images at once.
        num_workers: Processes that load images.
        out: Folder for the figures in full.
    """

    model: Path
    data: LabelledData = attrs.field(metadata=AS_GIVEN)
    split: Literal["train", "val", "test"] = "val"
    metric_args: MetricArgs | None = None
    device: str = "auto"
    batch_size: int = attrs.field(default=16, validator=at_least(1))
    num_workers: int | Literal["auto"] = attrs.field(default="auto", validator=at_least(0))
    out: Path | None = None


def options() -> tuple[Option, ...]:
    """Every argument of `lightly_train.evaluate`, and each key of its data and metrics."""
    return options_of_class(Arguments, KINDS)


def run(words: Sequence[str]) -> int:
    """Evaluate as `words` say, and return the exit status.

    Raises:
        ConfigError: Lists every word, key and value that is wrong.
        RunFolderError: `--out` is the folder of a run, or cannot be written to.
    """
    from lightly_train import evaluate
    from lightly_train.evaluation import checked_out

    arguments = read_as(Arguments, words, POSITIONAL, KINDS)
    if arguments.out is not None:
        checked_out(arguments.out)
    found = evaluate(
        arguments.model,
        arguments.data,
        split=arguments.split,
        metric_args=None if arguments.metric_args is None else asked(arguments.metric_args),
        device=arguments.device,
        batch_size=arguments.batch_size,
        num_workers=arguments.num_workers,
    )
    if arguments.out is not None:
        found.write(arguments.out)
    images = {"images": found.num_images, "unreadable": unreadable_rows(found.unreadable)}
    print_json({**found.metrics, **images, **({} if arguments.out is None else {"out": str(arguments.out)})})
    return EXIT_UNREADABLE if found.unreadable else 0
