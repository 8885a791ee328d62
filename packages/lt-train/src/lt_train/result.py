"""How a run ended."""

from __future__ import annotations

from pathlib import Path

import attrs


@attrs.frozen(kw_only=True)
class TrainResult:
    """How a run ended.

    Attributes:
        best_step: Step of the best validation.
        best_metrics: Its values by logged name.
        last_metrics: Values of the last validation.
        exported_best: File of the best model, None when it was not asked for, or the watched metric was never defined.
        exported_last: File of the last model, None when it was not asked for.
        out: The run folder.
        test_metrics: Values of the best model on the test split, by logged name; None where `data` has none.
        report: The page about the run, None where none was written, and in processes other than the first.
    """

    best_step: int
    best_metrics: dict[str, float]
    last_metrics: dict[str, float]
    exported_best: Path | None
    exported_last: Path | None
    out: Path
    test_metrics: dict[str, float] | None = None
    report: Path | None = None
