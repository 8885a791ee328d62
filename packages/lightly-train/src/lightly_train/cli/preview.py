"""`lightly-train preview`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import attrs

from lightly_train.cli.labelled import AS_GIVEN, KINDS, LabelledData
from lightly_train.cli.options import Option, options_of_class
from lightly_train.cli.printing import print_json
from lightly_train.cli.typed import read_as
from lt_data import TransformConfig

SUMMARY = "Write a picture of training samples as the model sees them: validation's way, then augmented."
POSITIONAL = ("data",)


@attrs.frozen(kw_only=True)
class Arguments:
    """What the picture shows.

    Attributes:
        data: YAML file with the keys train and val, or train_csv and val_csv, and others such as classes; a folder with
            folders train and val, a folder with one folder of images a class, or a CSV or Parquet file; or keys as
            options, of which val need not be there.
        out: PNG file to write; one that exists is replaced.
        transform_args: As for train.
        classification_task: As for train.
        num_samples: Rows, one for each sample.
        num_variants: Columns with augmented variants.
        seed: As for train: the variants are those of a run with this seed.
    """

    data: LabelledData = attrs.field(metadata=AS_GIVEN)
    out: Path
    transform_args: TransformConfig | None = None
    classification_task: Literal["multiclass", "multilabel"] = "multiclass"
    num_samples: int = 8
    num_variants: int = 5
    seed: int = 0


def options() -> tuple[Option, ...]:
    """Every argument of `lt_data.torch.preview`, and each key of its transforms."""
    return options_of_class(Arguments, KINDS)


def run(words: Sequence[str]) -> None:
    """Write the picture that `words` ask for.

    Raises:
        ConfigError: Lists every word, key and value that is wrong.
    """
    asked = read_as(Arguments, words, POSITIONAL, KINDS)
    from lt_data.torch import preview

    path = preview(
        asked.data,
        asked.out,
        transform_args=asked.transform_args,
        task=asked.classification_task,
        num_samples=asked.num_samples,
        num_variants=asked.num_variants,
        seed=asked.seed,
    )
    print_json({"path": str(path)})
