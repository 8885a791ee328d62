"""The folder of one run."""

from __future__ import annotations

import shutil
from pathlib import Path

import attrs

from lt_train.errors import ResumeError, RunFolderError
from lt_train.run_lock import LOCK_NAME, refuse_if_held


@attrs.frozen
class RunFolder:
    """Where each file of a run lies.

    Attributes:
        root: The `out` argument.
    """

    root: Path

    @property
    def checkpoint(self) -> Path:
        """The last checkpoint, from which an interrupted run goes on."""
        return self.root / "checkpoints" / "last.ckpt"

    @property
    def exported_last(self) -> Path:
        """The model as of the last checkpoint."""
        return self.root / "exported_models" / "exported_last.pt"

    @property
    def exported_best(self) -> Path:
        """The model with the best watched metric."""
        return self.root / "exported_models" / "exported_best.pt"

    @property
    def cache(self) -> Path:
        """Decoded images, while the run goes on."""
        return self.root / "cache"

    @property
    def split(self) -> Path:
        """Which samples trained and which validated, when validation was split off."""
        return self.root / "split"

    @property
    def log(self) -> Path:
        """What was printed."""
        return self.root / "train.log"

    @property
    def config(self) -> Path:
        """What was asked for: it starts the same run again."""
        return self.root / "config.yaml"

    @property
    def metrics(self) -> Path:
        """One JSON object a line."""
        return self.root / "metrics.jsonl"

    @property
    def report(self) -> Path:
        """Best and last metrics, at the end of a run."""
        return self.root / "metrics.json"

    @property
    def per_class(self) -> Path:
        """Figures of each class, at the end of a run."""
        return self.root / "per_class.csv"

    @property
    def test_per_class(self) -> Path:
        """Figures of each class in the test split, where there is one."""
        return self.root / "test_per_class.csv"

    @property
    def settings(self) -> Path:
        """What every setting became, and why; from the start of a run."""
        return self.root / "settings.json"

    @property
    def page(self) -> Path:
        """The report that people read, which lightly-train writes after a run."""
        return self.root / "report.html"

    @property
    def tracking(self) -> Path:
        """Which runs of tracking services are this run."""
        return self.root / "tracking.json"

    @property
    def wandb(self) -> Path:
        """What Weights & Biases writes."""
        return self.root / "wandb"

    def check(self, *, overwrite: bool, resume: bool) -> None:
        """Refuse a folder that this run must not use; nothing is created or removed.

        Raises:
            RunFolderError: The folder exists and is not empty, or is a file, or a run is going on in it.
            ResumeError: There is no checkpoint to resume from.
        """
        if resume and overwrite:
            raise ResumeError("give either `resume_interrupted` or `overwrite`, not both")
        if self.root.exists() and not self.root.is_dir():
            raise RunFolderError(f"{self.root}: is a file; `out` must be a folder")
        refuse_if_held(self.root)
        self.check_files(overwrite=overwrite, resume=resume)

    def check_files(self, *, overwrite: bool, resume: bool) -> None:
        """What `check` says of the files in the folder, for who holds it.

        Raises:
            RunFolderError: The folder is not empty.
            ResumeError: There is no checkpoint to resume from.
        """
        found = {path.name for path in self.root.iterdir()} - {LOCK_NAME} if self.root.is_dir() else set()
        if resume and not self.checkpoint.is_file():
            anew = "with `overwrite` in place of" if found else "without"
            raise ResumeError(f"{self.checkpoint}: there is no such checkpoint; start {anew} `resume_interrupted`")
        if found and not (overwrite or resume):
            raise RunFolderError(
                f"{self.root}: exists and is not empty; choose another `out`, or set `overwrite` to replace the run "
                "in it, or `resume_interrupted` to go on with it"
            )

    def prepare(self) -> None:
        """Make the folder, and remove what an earlier run of ours left in it; other files stay."""
        self.root.mkdir(parents=True, exist_ok=True)
        for folder in (self.checkpoint.parent, self.exported_best.parent, self.cache, self.split, self.wandb):
            shutil.rmtree(folder, ignore_errors=True)
        logs = (self.log, self.config, self.metrics, self.tracking, *self.root.glob("events.out.tfevents.*"))
        for file in (*logs, self.report, self.per_class, self.test_per_class, self.settings, self.page):
            file.unlink(missing_ok=True)

    def remove_temporary(self) -> None:
        """Remove what a run that was killed had half written."""
        for file in (
            self.checkpoint,
            self.exported_last,
            self.exported_best,
            self.config,
            self.metrics,
            self.report,
            self.per_class,
            self.test_per_class,
            self.settings,
            self.page,
        ):
            file.with_name(f".{file.name}.tmp").unlink(missing_ok=True)
