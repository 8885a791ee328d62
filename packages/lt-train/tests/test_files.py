from __future__ import annotations

import json
import math
import os
import pickle
import shutil
import sys
import zipfile

import attrs
import pytest
import torch

from lt_data import Classes, Preprocessing, TaskSpec
from lt_models import ClassifierSpec, build_classifier
from lt_train import ExportedModel, ModelFileError, ResumeError, RunFolder, RunFolderError, load_exported, save_exported
from lt_train.loggers.jsonl import JsonlLogger
from lt_train.metrics_file import drop_values
from lt_train.state import improves

TASK = TaskSpec(
    task="multiclass", classes=Classes((3, 5), ("a", "b")), preprocessing=Preprocessing(image_size=(32, 32))
)
SPEC = ClassifierSpec(model="timm/test_resnet-notpretrained", num_classes=2, image_size=(32, 32))
WANDB_RUN = "run-20260102_030405-abc123"


def exported() -> ExportedModel:
    state = dict(build_classifier(SPEC).state_dict())
    return ExportedModel(task=TASK, spec=SPEC, state=state, metrics={"val_loss": 0.5}, step=7)


def test_an_exported_model_comes_back_as_it_was(tmp_path):
    model = exported()
    save_exported(tmp_path / "m.pt", model)
    back = load_exported(tmp_path / "m.pt")
    assert (back.task, back.spec, back.metrics, back.step) == (model.task, model.spec, model.metrics, 7)
    for name, tensor in back.build().state_dict().items():
        assert torch.equal(tensor, model.state[name])


class Bomb:
    """Unpickling it would make a folder."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_a_pickle_bomb_is_refused_and_never_unpickled(tmp_path):
    mark = tmp_path / "executed"
    torch.save({"format": "lightly-train/model", "model": Bomb(str(mark))}, tmp_path / "zip.pt")
    torch.save(Bomb(str(mark)), tmp_path / "legacy.pt", _use_new_zipfile_serialization=False)
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Bomb(str(mark))))
    for file in ("zip.pt", "legacy.pt", "plain.pt"):
        with pytest.raises(ModelFileError, match=file):
            load_exported(tmp_path / file)
    assert not mark.exists()


@pytest.mark.parametrize("name", ["m.onnx", "m.TRT", "m.engine"])
def test_a_model_that_only_predicts_is_answered_with_what_takes_it(tmp_path, name):
    (tmp_path / name).write_bytes(b"\x08\x08")
    with pytest.raises(ModelFileError, match=rf"{name}: .*`lt_export.load`.*`lightly-train predict`.*\.pt"):
        load_exported(tmp_path / name)


def test_files_that_are_not_ours_are_named(tmp_path):
    torch.save({"state_dict": {}}, tmp_path / "other.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    (tmp_path / "text.pt").write_text("hello")
    (tmp_path / "empty.pt").touch()
    with zipfile.ZipFile(tmp_path / "zip.pt", "w") as archive:
        archive.writestr("a.txt", "hello")
    for file in ("other.pt", "list.pt", "text.pt", "empty.pt", "zip.pt", "missing.pt"):
        with pytest.raises(ModelFileError, match=file):
            load_exported(tmp_path / file)


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 2},
        {"version": None},
        {"task_spec": "{}"},
        {"task_spec": None},
        {"classifier": {"model": "timm/test_resnet"}},
        {"classifier": {"model": "x", "num_classes": 2, "class_path": "os.system"}},
        {"model": 3},
        {"model": {"a": "text"}},
        {"metrics": None},
    ],
)
def test_damaged_and_newer_files_are_refused(tmp_path, changes):
    torch.save({**exported().content(), **changes}, tmp_path / "m.pt")
    with pytest.raises(ModelFileError, match=r"m\.pt"):
        load_exported(tmp_path / "m.pt")


def test_a_truncated_file_is_refused(tmp_path):
    save_exported(tmp_path / "m.pt", exported())
    content = (tmp_path / "m.pt").read_bytes()
    for size in (len(content) // 3, len(content) - 10):
        (tmp_path / "m.pt").write_bytes(content[:size])
        with pytest.raises(ModelFileError):
            load_exported(tmp_path / "m.pt")


def test_weights_of_another_model_are_refused(tmp_path):
    model = exported()
    model.state["head.weight"] = torch.zeros(9, 9)
    with pytest.raises(ModelFileError, match="do not fit"):
        model.build()


def test_a_folder_in_use_is_refused_and_nothing_in_it_changes(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    folder = RunFolder(tmp_path)
    with pytest.raises(RunFolderError, match="exists and is not empty; choose another `out`$"):
        folder.check(overwrite=False, resume=False)
    with pytest.raises(
        ResumeError, match=r"last\.ckpt: there is no such .* without `resume_interrupted` and in another `out`"
    ):
        folder.check(overwrite=False, resume=True)
    with pytest.raises(ResumeError, match="not both"):
        folder.check(overwrite=True, resume=True)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_resuming_where_nothing_is_is_answered_with_how_to_start(tmp_path):
    with pytest.raises(ResumeError, match="start without `resume_interrupted`$"):
        RunFolder(tmp_path / "none").check(overwrite=False, resume=True)
    (tmp_path / "train.log").touch()
    with pytest.raises(ResumeError, match="start with `overwrite` in place of `resume_interrupted`$"):
        RunFolder(tmp_path).check(overwrite=False, resume=True)


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "out").touch()
    with pytest.raises(RunFolderError, match="is a file"):
        RunFolder(tmp_path / "out").check(overwrite=True, resume=False)
    with pytest.raises(RunFolderError, match="out/run: .*out: is a file"):
        RunFolder(tmp_path / "out" / "run").check(overwrite=False, resume=False)


def test_overwriting_removes_the_old_run_and_leaves_other_files(tmp_path):
    folder = RunFolder(tmp_path)
    events = tmp_path / "events.out.tfevents.1"
    for file in (folder.checkpoint, folder.exported_best, folder.log, folder.metrics, events):
        file.parent.mkdir(exist_ok=True)
        file.touch()
    (tmp_path / "notes.txt").write_text("mine")
    folder.check(overwrite=True, resume=False)
    folder.prepare()
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_overwriting_is_refused_where_others_have_files_by_a_runs_names_and_no_run_is(tmp_path):
    folder = RunFolder(tmp_path)
    touched(folder.config, folder.metrics)
    with pytest.raises(RunFolderError, match=r"holds no run, but config\.yaml, metrics\.jsonl, which `overwrite`"):
        folder.check(overwrite=True, resume=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.yaml", "metrics.jsonl"]
    folder.config.unlink()
    folder.metrics.rename(tmp_path / "slurm-1.out")
    folder.check(overwrite=True, resume=False)


def touched(*files) -> None:
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


def test_overwriting_leaves_what_is_not_a_runs_in_the_folders_of_a_run(tmp_path):
    folder = RunFolder(tmp_path)
    runs = [tmp_path / f"wandb/{name}/files/output.log" for name in (WANDB_RUN, f"offline-{WANDB_RUN}")]
    tables, half_written = [folder.split / f"{name}.csv" for name in ("train", "val")], folder.split / ".train.csv.tmp"
    touched(folder.checkpoint, folder.exported_best, *tables, half_written, *runs, tmp_path / "wandb/debug.log")
    mine = [
        folder.split / "train/cat/1.png",
        folder.split / "notes.csv",
        folder.checkpoint.with_name("epoch3.ckpt"),
        folder.exported_best.with_name("model.onnx"),
        folder.cache / "pip/a.whl",
        folder.wandb / "settings",
        folder.wandb / "run-notes/1.txt",
    ]
    touched(*mine)
    folder.check(overwrite=True, resume=False)
    folder.prepare()
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == set(mine)


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_overwriting_leaves_the_runs_of_others_behind_a_link(tmp_path):
    theirs = tmp_path / f"shared/{WANDB_RUN}/files/output.log"
    touched(theirs)
    folder = RunFolder(tmp_path / "out")
    folder.root.mkdir()
    folder.wandb.symlink_to(tmp_path / "shared", target_is_directory=True)
    folder.prepare()
    assert theirs.is_file()


@pytest.mark.parametrize("used", ["split/train.csv", f"wandb/{WANDB_RUN}/files/images", "link.csv"])
def test_overwriting_is_refused_when_it_would_remove_data_of_the_new_run(tmp_path, used):
    folder = RunFolder(tmp_path)
    touched(folder.checkpoint, folder.split / "train.csv", folder.wandb / f"{WANDB_RUN}/files/images/1.png")
    if sys.platform != "win32":
        (tmp_path / "link.csv").symlink_to(folder.split / "train.csv")
    elif used == "link.csv":
        pytest.skip("links need rights there")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(RunFolderError, match=r"overwrite.*would remove.*move"):
        folder.check(overwrite=True, resume=False, used=[tmp_path / "elsewhere", tmp_path / used])
    with pytest.raises(RunFolderError, match=f"{used}.*would remove"):
        folder.prepare(used=[tmp_path / used])
    assert sorted(tmp_path.rglob("*")) == before
    folder.check(overwrite=True, resume=False, used=[tmp_path / "split/train"])


def test_overwriting_is_refused_when_it_would_remove_an_image_of_the_new_run(job):
    inside = job.out.wandb / f"{WANDB_RUN}/train"
    shutil.copytree(job.data.train.root, inside)
    job = attrs.evolve(job, data=attrs.evolve(job.data, train=attrs.evolve(job.data.train, root=inside)))
    with pytest.raises(RunFolderError, match=WANDB_RUN):
        job.run()
    assert len(list(inside.iterdir())) == 20


def test_a_resumed_metrics_file_has_no_seam(tmp_path):
    file = tmp_path / "metrics.jsonl"
    first = JsonlLogger(file, resume_step=0)
    for step in (1, 2, 3):
        first.log(step, {"x": step})
    first.close()
    with open(file, "a") as stream:
        stream.write('{"step": 4, "x"')  # killed while writing
    second = JsonlLogger(file, resume_step=2)
    second.log(3, {"x": 30})
    second.close()
    assert file.read_text() == '{"step": 1, "x": 1}\n{"step": 2, "x": 2}\n{"step": 3, "x": 30}\n'


def test_nan_is_never_better_nor_is_the_same_value():
    assert not improves(math.nan, None, less_is_better=False)
    assert not improves(math.nan, 0.5, less_is_better=True)
    assert improves(0.1, None, less_is_better=False)
    assert improves(0.6, 0.5, less_is_better=False)
    assert not improves(0.5, 0.5, less_is_better=False)
    assert improves(0.4, 0.5, less_is_better=True)


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x85", "\x1c"])
def test_a_class_name_with_a_unicode_line_end_costs_a_resumed_run_no_line(tmp_path, mark):
    file, name = tmp_path / "metrics.jsonl", f"val_metric/f1/cat{mark}dog"
    first = JsonlLogger(file, resume_step=0)
    for step in (1, 2, 3):
        first.log(step, {name: 0.5})
    first.close()
    with open(file, "ab") as stream:
        stream.write('{"step": 3, "ü'.encode()[:-1])  # killed while writing
    drop_values(file, 3, name)
    JsonlLogger(file, resume_step=2).close()
    assert [json.loads(line) for line in file.read_bytes().splitlines()] == [{"step": n, name: 0.5} for n in (1, 2)]


def test_a_validation_that_is_done_again_leaves_no_line_of_the_first(tmp_path):
    file = tmp_path / "metrics.jsonl"
    file.write_bytes(b'{"step": 1, "x": 1}\r\n{"step": 2, "x": 2}\r\n{"step": 2, "y": 2}\r\n')
    drop_values(file, 2, "x")
    assert file.read_bytes() == b'{"step": 1, "x": 1}\r\n{"step": 2, "y": 2}\r\n'


def test_what_is_not_defined_is_null_in_the_metrics_file(tmp_path):
    logger = JsonlLogger(tmp_path / "metrics.jsonl", resume_step=0)
    logger.log(1, {"x": math.nan, "y": 0.5})
    logger.close()
    assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 1, "x": null, "y": 0.5}\n'


def test_a_model_is_loaded_from_a_path_of_any_kind(job, tmp_path, monkeypatch):
    job.run(steps=1)
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(job.out.root))
    paths = (job.out.exported_last, str(job.out.exported_last), "~/exported_models/exported_last.pt")
    assert [load_exported(path).step for path in paths] == [1, 1, 1]
    save_exported(str(tmp_path / "m.pt"), load_exported(paths[0]))
    assert load_exported(tmp_path / "m.pt").step == 1
