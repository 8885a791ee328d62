"""From a `DataConfig` to the classes and samples of a run."""

from __future__ import annotations

import attrs

from lt_data.data_config import DataConfig
from lt_data.errors import DatasetError
from lt_data.index.samples import SampleIndex
from lt_data.index.sources import scan_sources
from lt_data.task import Classes, TaskName


@attrs.frozen
class DatasetIndex:
    """Classes and samples of a data set.

    Attributes:
        classes: The classes that take part, in output order.
        train: Samples to train on.
        val: Samples to validate on.
        test: Samples for the final test, None without such a split.
    """

    classes: Classes
    train: SampleIndex
    val: SampleIndex
    test: SampleIndex | None = None


def build_index(config: DataConfig, task: TaskName = "multiclass") -> DatasetIndex:
    """Find the classes and list the samples that `config` describes; what is passed over is counted in the log.

    Images are looked for and not opened, other than the headers of DICOM files; `check` reads them.

    Args:
        config: Folders, CSV files or Parquet files.
        task: Multilabel needs CSV or Parquet files.

    Raises:
        ConfigError: `ignore_classes` or `csv_label_columns` name no class, or multilabel is asked of folders.
        DatasetError: Lists everything in which the data differ from the description, over all splits.
    """
    found = scan_sources(config, task)
    problems = found.all_problems()
    if problems or found.classes is None:
        raise DatasetError(problems)
    samples = {split: scan.samples for split, scan in found.splits.items()}
    return DatasetIndex(found.classes, samples["train"], samples["val"], samples.get("test"))
