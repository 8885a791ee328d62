"""`lightly-train calibrate`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import attrs

from lightly_train.cli.labelled import AS_GIVEN, KINDS, LabelledData
from lightly_train.cli.options import Option, options_of_class
from lightly_train.cli.printing import print_json
from lightly_train.cli.typed import read_as
from lightly_train.cli.unreadable import EXIT_UNREADABLE, unreadable_rows
from lt_data import Classes, at_least, user_path

SUMMARY = (
    "Fit on labelled images how sure a model's scores are, and for multilabel a threshold for each class. The figures "
    "before and after are printed as JSON, with notes on what did not get better. Exit status 2 says that images were "
    "unreadable and left out."
)
POSITIONAL = ("model", "data")


@attrs.frozen(kw_only=True)
class Arguments:
    """What is fitted.

    Attributes:
        model: Exported model (.pt).
        data: YAML file as for train, a folder with one folder of images a class, or a CSV or Parquet file; or keys as
            options, of which only those of the split need be there.
        out: The calibrated model to write (.pt).
        split: Which images; best such that the model was not trained on.
        temperature: Fit a temperature, which changes scores; otherwise only thresholds.
        device: Where the model runs, such as cpu or cuda; auto takes the best that is there.
        batch_size: Images at once.
        num_workers: Processes that load images.
    """

    model: Path
    data: LabelledData = attrs.field(metadata=AS_GIVEN)
    out: Path
    split: Literal["train", "val", "test"] = "val"
    temperature: bool = True
    device: str = "auto"
    batch_size: int = attrs.field(default=16, validator=at_least(1))
    num_workers: int | Literal["auto"] = attrs.field(default="auto", validator=at_least(0))


def options() -> tuple[Option, ...]:
    """Every argument of `ImageClassification.calibrate`, and each key of its data."""
    return options_of_class(Arguments, KINDS)


def run(words: Sequence[str]) -> int:
    """Calibrate as `words` say, and return the exit status.

    Raises:
        ConfigError: Lists every word, key and value that is wrong.
    """
    from lightly_train.loading import load_model
    from lightly_train.model_file import check_model_file

    asked = read_as(Arguments, words, POSITIONAL, KINDS)
    out = user_path(asked.out)
    check_model_file(out)
    loaded = load_model(asked.model, device=asked.device)
    found = loaded.calibrate(
        asked.data,
        split=asked.split,
        temperature=asked.temperature,
        batch_size=asked.batch_size,
        num_workers=asked.num_workers,
    )
    loaded.save(out)
    thresholds = found.calibration.thresholds
    print_json(
        {
            "out": str(out),
            "images": found.num_images,
            "temperature": found.calibration.temperature,
            "thresholds": None if thresholds is None else _by_class(found.classes, thresholds),
            "before": found.before,
            "after": found.after,
            "without_images": found.without_images,
            "notes": found.notes,
            "unreadable": unreadable_rows(found.unreadable),
        }
    )
    return EXIT_UNREADABLE if found.unreadable else 0


def _by_class(classes: Classes, thresholds: Sequence[float]) -> list[dict[str, Any]]:
    rows = zip(classes.as_dict().items(), thresholds, strict=True)
    return [{"id": i, "name": name, "threshold": threshold} for (i, name), threshold in rows]
