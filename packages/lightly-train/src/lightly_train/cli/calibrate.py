"""`lightly-train calibrate`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from lightly_train.cli.printing import print_json
from lightly_train.cli.unreadable import EXIT_UNREADABLE, unreadable_rows
from lt_data import Classes, user_path


def calibrate(
    model: Path,
    data: Path,
    *,
    out: Path,
    split: Literal["train", "val", "test"] = "val",
    temperature: bool = True,
    device: str = "auto",
    batch_size: int = 16,
    num_workers: int | Literal["auto"] = "auto",
) -> int:
    """Fit on labelled images how sure a model's scores are, and for multilabel a threshold for each class.

    The figures before and after are printed as JSON, with notes on what did not get better. Exit status 2 says that
    images were unreadable and left out.

    Args:
        model: Exported model (.pt).
        data: YAML file as for train, a folder with one folder of images a class, or a CSV or Parquet file.
        out: The calibrated model to write (.pt).
        split: Which images; best such that the model was not trained on.
        temperature: Fit a temperature, which changes scores; otherwise only thresholds.
        device: Where the model runs, such as cpu or cuda; auto takes the best that is there.
        batch_size: Images at once.
        num_workers: Processes that load images.
    """
    from lightly_train.loading import load_model
    from lightly_train.model_file import check_model_file

    out = user_path(out)
    check_model_file(out)
    loaded = load_model(model, device=device)
    found = loaded.calibrate(data, split=split, temperature=temperature, batch_size=batch_size, num_workers=num_workers)
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
