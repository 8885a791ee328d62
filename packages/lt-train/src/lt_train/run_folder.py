"""The folder of one run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import attrs

from lt_data import listed
from lt_train.errors import ResumeError, RunFolderError
from lt_train.run_lock import LOCK_NAME, refuse_if_held

TIME = f"{'[0-9]' * 8}_{'[0-9]' * 6}"
WANDB_RUNS = (f"run-{TIME}-*", f"offline-run-{TIME}-*")
WANDB_FILES = ("latest-run", "debug.log", "debug-internal.log", "debug-cli.*.log", "wandb-resume.json")
CACHE_FILES = "lt-data-cache-*"


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

    def check(self, *, overwrite: bool, resume: bool, used: Iterable[Path] = ()) -> None:
        """Refuse a folder that this run must not use; nothing is created or removed.

        Args:
            overwrite: Replace the run in the folder.
            resume: Go on with it.
            used: Files and folders that the new run reads, which replacing must not remove.

        Raises:
            RunFolderError: The folder exists and is not empty, or is a file, or a run is going on in it, or `overwrite`
                would remove what the new run reads.
            ResumeError: There is no checkpoint to resume from.
        """
        if resume and overwrite:
            raise ResumeError("give either `resume_interrupted` or `overwrite`, not both")
        there = next(place for place in (self.root, *self.root.parents) if place.exists())
        if not there.is_dir():
            inside = "" if there == self.root else f": {there}"
            raise RunFolderError(f"{self.root}{inside}: is a file; `out` must be a folder")
        if not os.access(there, os.W_OK | os.X_OK):
            raise RunFolderError(f"{self.root}: {there} cannot be written to; choose another `out`")
        refuse_if_held(self.root)
        self.check_files(overwrite=overwrite, resume=resume)
        if overwrite:
            self._refuse_to_remove(used)

    def check_files(self, *, overwrite: bool, resume: bool) -> None:
        """What `check` says of the files in the folder, for who holds it.

        Raises:
            RunFolderError: The folder is not empty; or it holds no run, but files that `overwrite` would remove.
            ResumeError: There is no checkpoint to resume from.
        """
        found = {path.name for path in self.root.iterdir()} - {LOCK_NAME} if self.root.is_dir() else set()
        a_run = any(file.is_file() for file in (self.log, self.settings, self.checkpoint))
        if resume and not self.checkpoint.is_file():
            anew = "with `overwrite` in place of" if a_run else "without"
            elsewhere = " and in another `out`, as this folder holds other files" if found and not a_run else ""
            raise ResumeError(
                f"{self.checkpoint}: there is no such checkpoint; start {anew} `resume_interrupted`{elsewhere}"
            )
        if overwrite and not a_run and self.root.is_dir():
            others = sorted(file.relative_to(self.root).as_posix() for file in self._written())
            if others:
                raise RunFolderError(
                    f"{self.root}: holds no run, but {listed(others)}, which `overwrite` would remove; choose another "
                    "`out`"
                )
        if found and not (overwrite or resume):
            resumable = ", or `resume_interrupted` to go on with it" if self.checkpoint.is_file() else ""
            instead = f", or set `overwrite` to replace the run in it{resumable}" if a_run else ""
            raise RunFolderError(f"{self.root}: exists and is not empty; choose another `out`{instead}")

    def prepare(self, used: Iterable[Path] = ()) -> None:
        """Make the folder, and remove what an earlier run of ours left in it; other files and folders stay.

        Files go by their names, and of folders only those of W&B's runs, or what is empty then.

        Args:
            used: Files and folders that the new run reads.

        Raises:
            RunFolderError: One of them would be removed; nothing was.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        self._refuse_to_remove(used)
        self.remove_temporary()
        for file in self._written():
            if file != self.log:
                file.unlink(missing_ok=True)
        for folder in self.wandb_runs():
            shutil.rmtree(folder, ignore_errors=True)
        # By its log a folder is known as that of a run, should this one be killed here.
        self.log.unlink(missing_ok=True)
        for folder in (self.checkpoint.parent, self.exported_best.parent, self.cache, self.split, self.wandb):
            remove_if_empty(folder)

    def remove_temporary(self) -> None:
        """Remove what a run that was killed had half written."""
        for file in self._whole_files():
            file.with_name(f".{file.name}.tmp").unlink(missing_ok=True)

    def remove_cache(self) -> None:
        """Remove decoded images; other files stay."""
        for file in _found(self.cache, [CACHE_FILES]):
            file.unlink(missing_ok=True)
        remove_if_empty(self.cache)

    def wandb_runs(self) -> list[Path]:
        """Folders of W&B's runs; none where `wandb` is a link to a folder that others may use."""
        if self.wandb.is_symlink():
            return []
        return [path for path in _found(self.wandb, WANDB_RUNS) if path.is_dir() and not path.is_symlink()]

    def _written(self) -> Iterator[Path]:
        """Files that a run has written and that are there."""
        files = [*self._whole_files(), self.log, *_found(self.root, ["events.out.tfevents.*"])]
        files += _found(self.cache, [CACHE_FILES])
        if not self.wandb.is_symlink():
            files += _found(self.wandb, WANDB_FILES)
        return (file for file in files if file.is_symlink() or file.is_file())

    def _whole_files(self) -> tuple[Path, ...]:
        """Files that are replaced as a whole, each through a temporary one."""
        models = (self.checkpoint, self.exported_last, self.exported_best)
        tables = (self.split / "train.csv", self.split / "val.csv", self.per_class, self.test_per_class)
        return (*models, *tables, self.config, self.metrics, self.report, self.settings, self.page, self.tracking)

    def _refuse_to_remove(self, used: Iterable[Path]) -> None:
        removed = {_place(path) for path in (*self._written(), *self.wandb_runs())}
        for path in used:
            for place in (_place(path), path.resolve()):
                lost = removed & {place, *place.parents}
                if lost:
                    raise RunFolderError(
                        f"{path}: belongs to the data, and `overwrite` would remove {lost.pop()}, which an earlier run "
                        "wrote; move it out of the run folder, or choose another `out`"
                    )


def remove_if_empty(folder: Path) -> None:
    """Remove a folder in which nothing is, if it is there."""
    with suppress(OSError):
        folder.rmdir()


def _found(folder: Path, patterns: Iterable[str]) -> list[Path]:
    return [path for pattern in patterns for path in sorted(folder.glob(pattern))]


def _place(path: Path) -> Path:
    """A file itself, which may be a link, in its real folder."""
    return path.parent.resolve() / path.name
