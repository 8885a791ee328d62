from __future__ import annotations

import inspect
import json

import attrs
import pytest
import torch
import yaml

import lightly_train
from lightly_train.arguments import read_arguments
from lightly_train.cli.train import read_words
from lt_train.yaml_text import dump

MODEL = "timm/test_resnet-notpretrained"


@pytest.fixture
def words(data, tmp_path):
    """The command line of a short run."""
    folder = tmp_path / "мои данные"
    folder.mkdir()
    (folder / "data.yaml").write_text(f"train: {data['train']}\nval: {data['val']}\nclasses: {data['classes']}\n")
    return [
        *("train", "--data", folder / "data.yaml", "--model", MODEL, "--steps", 3, "--batch-size", 6),
        *("--num-workers", 0, "--accelerator", "cpu", "--transform-args.image-size", "32,32"),
    ]


def weights(out):
    return torch.load(out / "exported_models" / "exported_last.pt", weights_only=True)["model"]


def test_the_file_that_a_run_writes_starts_the_same_run_from_anywhere(call, words, tmp_path, monkeypatch):
    first, again = tmp_path / "первый run", tmp_path / "again"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    changes = ("--model-args.lr", "3e-3", "--model-args.class-weights.red", "2", "--seed", "5")
    done = call(*words, "--out", first.name, *changes)
    assert done.status == 0, done.err
    written = yaml.safe_load((first / "config.yaml").read_text(encoding="utf-8"))
    assert written["model_args"] == {"lr": 3e-3, "class_weights": {"red": 2.0}}
    assert written["transform_args"] == {"image_size": [32, 32]}
    monkeypatch.chdir(tmp_path / "elsewhere")
    done = call("train", "--config", first / "config.yaml", "--out", again)
    assert done.status == 0, done.err
    one, other = weights(first), weights(again)
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert yaml.safe_load((again / "config.yaml").read_text(encoding="utf-8")) == {**written, "out": str(again)}
    done = call("train", "--config", first / "config.yaml", "--out", tmp_path / "other", "--seed", "6")
    assert done.status == 0, done.err
    assert not all(torch.equal(one[name], value) for name, value in weights(tmp_path / "other").items())


def test_a_folder_may_be_the_data_with_options_beside_it(call, words, data, tmp_path):
    words[2] = data["train"].parent
    assert call(*words, "--out", tmp_path / "splits").status == 0
    words[2] = data["train"]
    told = call(*words, "--out", tmp_path / "run")
    assert (told.status, "has no validation data" in told.err) == (2, True)
    done = call(*words, "--data.val", "0.25", "--out", tmp_path / "run")
    assert done.status == 0, done.err
    written = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text(encoding="utf-8"))
    assert written["data"] == {"train": str(data["train"]), "val": 0.25}


def test_a_run_of_python_writes_its_file_too_and_a_resumed_one_leaves_it(run, tmp_path):
    run(tmp_path / "run")
    text = (tmp_path / "run" / "config.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(text)["batch_size"] == 6
    run(tmp_path / "run", resume_interrupted=True, num_workers=1)
    assert (tmp_path / "run" / "config.yaml").read_text(encoding="utf-8") == text
    run(tmp_path / "run", overwrite=True, seed=9)
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text(encoding="utf-8"))["seed"] == 9


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"steps": 5, "devices": [0, 1], "seed": 3, "strategy": "ddp", "reuse_class_head": True, "model": "a b/ü.pt"},
        {"epochs": 0.5, "early_stopping_args": {}, "torch_compile_args": {}, "num_workers": 0},
        {"early_stopping_args": {"patience": 3}, "torch_compile_args": {"mode": "x", "options": {"a": 1}}},
        {"model_args": {"lr": 1e-5, "class_weights": {4: 2, "no": 1}, "backbone_freeze": 2, "layer_decay": None}},
        {"model_args": {"class_weights": "balanced", "backbone_weights": "w ü.pth", "backbone_args": {"a": [1, None]}}},
        {"model_args": {"backbone_freeze": True, "asymmetric_gammas": (1, 2), "ema_decay": 0.999}},
        {"transform_args": {"random_flip": None, "random_crop": {"min_scale": 0.5}, "rand_augment": {}}},
        {
            "transform_args": {
                "normalize": {"mean": [0.5], "std": [0.25]},
                "num_channels": 1,
                "val": {"resize_scale": 2},
            }
        },
        {"logger_args": {"tensorboard": None, "wandb": {}, "mlflow": {"tags": {"1": "no"}, "run_name": "1e-3"}}},
        {"metric_args": {"accuracy": {"topk": [1, 2]}, "auroc": None, "matthews_corrcoef": {}, "classwise": True}},
        {
            "data": {
                "train_csv": "a.csv",
                "val": 0.25,
                "classes": {0: "yes", 7: "1"},
                "ignore_classes": [],
                "cache": "ram",
            }
        },
        {
            "data": {
                "train": "t",
                "val": "v",
                "dicom_window": [40, 400],
                "label_delimiter": "\t",
                "ignore_classes": None,
            }
        },
        {"loader_args": {"prefetch_factor": 4, "pin_memory": False}, "save_checkpoint_args": {"save_last": False}},
    ],
)
def test_what_a_run_was_asked_for_is_read_again_from_its_file_as_the_same(changes, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    parameters = inspect.signature(lightly_train.train_image_classification).parameters
    defaults = {name: one.default for name, one in parameters.items() if name != "unknown"}
    first = read_arguments({**defaults, "out": "out", "data": data, "model": MODEL, **changes})
    (tmp_path / "config.yaml").write_text(dump(first.asked), encoding="utf-8")
    second = read_words(["--config", "config.yaml"])
    assert second.training == absolute(first.training, tmp_path)
    assert second.transform_args == first.transform_args
    assert attrs.asdict(second.data) == attrs.asdict(first.data) | located(first.data, tmp_path)
    assert (second.reuse_class_head, second.classification_task) == (first.reuse_class_head, first.classification_task)
    assert second.asked == first.asked


def absolute(training, folder):
    model_args = training.model_args
    if model_args.backbone_weights is None:
        return training
    there = str(folder / model_args.backbone_weights)
    return attrs.evolve(training, model_args=attrs.evolve(model_args, backbone_weights=there))


def located(config, folder):
    keys = ("train", "val", "train_csv", "val_csv")
    paths = {key: getattr(config, key) for key in keys}
    return {key: folder / path for key, path in paths.items() if path is not None and not isinstance(path, float)}


def test_a_file_of_arguments_may_be_written_by_hand_and_options_win_over_it(data, tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text(
        f"out: there\nmodel: {MODEL}\nsteps: 10\nmodel_args: {{lr: 1e-3, head_dropout: 0.1}}\n"
        f"data: {{train: {data['train']}, val: {data['val']}}}\ntransform_args: {{random_flip: null}}\n"
    )
    words = ["--steps", "20", "--model-args.lr", "2e-3", "--transform-args.random-flip.vertical-prob", "0.5"]
    read = read_words(["--config", str(file), *words, "--data.val", "0.5"])
    assert (read.training.steps, read.training.model_args.lr, read.training.model_args.head_dropout) == (20, 2e-3, 0.1)
    assert read.transform_args.random_flip.vertical_prob == 0.5
    assert (read.data.train, read.data.val) == (data["train"], 0.5)


@pytest.mark.parametrize("classes", ["[red, green]", '["red", "green"]', "{0: red, 1: green}"])
def test_classes_are_a_list_of_names_or_names_by_id(data, classes):
    words = ["--out", "x", "--model", MODEL, "--data.train", str(data["train"]), "--data.val", "0.5"]
    assert read_words([*words, "--data.classes", classes]).data.classes == {0: "red", 1: "green"}


def test_keys_of_data_go_beside_a_file_whose_paths_stay_relative_to_it(data, tmp_path):
    (data["train"].parent / "data.yaml").write_text("train: train\nval: val\nclasses: {4: red, 7: green, 9: blue}\n")
    file = data["train"].parent / "data.yaml"
    words = ["--out", "x", "--model", MODEL, "--data", str(file), "--data.ignore-classes", "red"]
    read = read_words(words)
    assert (read.data.train, read.data.ignore_classes) == (data["train"], ("red",))


def test_all_that_is_wrong_is_told_at_once_with_the_nearest_names(call, tmp_path):
    (tmp_path / "run.yaml").write_text("stepps: 3\nseed: x\n")
    failed = call(
        *("train", "--config", tmp_path / "run.yaml", "--out", tmp_path / "run", "--data.trian", "x", "stray"),
        *("--model-args.lrr", "1", "--model-args.lr", "-1", "--transform-args.random-flp", "null", "--batchsize", "3"),
        *("--metric-args", "{f1: {averages: [macro]}}", "--transform-args.color-jitter", "{a: [", "--epochs"),
        *("--transform-args.random-rotate", "10", "--metric-args.expected-calibration-error"),
    )
    assert failed.status == 2
    for part in (
        "stepps                              unknown key; did you mean `steps`?",
        "batchsize                           unknown key; did you mean `batch_size`?",
        "model_args.lrr                      unknown key; did you mean `lr`?",
        "transform_args.random_flp           unknown key; did you mean `random_flip`?",
        "data.trian                          unknown key; did you mean `train`?",
        "model_args.lr                       must be above 0",
        "metric_args.f1.averages",
        "transform_args.color_jitter         expected a dict",
        "seed                                expected an integer",
        "--model                             this option is required",
        "'stray'",
        "--epochs",
        "transform_args.random_rotate        expected a dict with keys such as prob, degrees",
        "--metric-args.expected-calibration-error  needs a value; `{}` is all of its defaults",
    ):
        assert " ".join(part.split()) in " ".join(failed.err.split())
    assert "Traceback" not in failed.err
    assert not (tmp_path / "run").exists()


def test_a_file_that_describes_data_is_not_taken_for_one_of_arguments(call, data, tmp_path):
    (tmp_path / "data.yaml").write_text(f"train: {data['train']}\nval: {data['val']}\n", encoding="utf-8")
    failed = call("train", "--config", tmp_path / "data.yaml", "--out", tmp_path / "run", "--model", MODEL)
    assert failed.status == 2
    assert f"{tmp_path / 'data.yaml'} describes data; give it as --data" in failed.err
    assert "unknown key" not in failed.err


def test_a_wrong_value_of_a_file_is_not_taken_for_a_missing_option(call, tmp_path):
    (tmp_path / "run.yaml").write_text("out: 3\ndata: {}\n", encoding="utf-8")
    failed = call("train", "--config", tmp_path / "run.yaml")
    assert failed.status == 2
    told = " ".join(failed.err.split())
    assert "out expected" in told
    assert "--model this option is required" in told
    assert told.count("this option is required") == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("out: a\ndata:\n\ttrain: x\n", "line 3, column 1: YAML takes blanks, not tabs, for indentation"),
        ("out: b\nmodel: c: d\n", "line 2, column 9: mapping values are not allowed here"),
        (None, "No such file or directory"),
    ],
)
def test_a_file_that_is_no_yaml_is_told_by_line_and_column_and_nothing_else_is(call, tmp_path, text, reason):
    file = tmp_path / "run.yaml"
    if text is not None:
        file.write_text(text)
    failed = call("train", "--config", file)
    assert failed.status == 2
    assert failed.err == f"error: --config: cannot read {file} as a YAML file: {reason}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--config", "nothing.yaml"], "cannot read nothing.yaml as a YAML file"),
        (["--data", "nothing.yaml", "--data.cache", "ram"], "nothing.yaml does not exist"),
        (["--classification-task", "many"], "classification_task"),
        (["--loader-args.prefetch-factor", "x"], "loader_args.prefetch_factor"),
        (["--torch-compile-args", "x"], "torch_compile_args"),
        (["--strategy", "ddq"], "strategy"),
        (["--num-nodes", "0"], "num_nodes"),
        (
            ["--metric-args.f1.average", "makro"],
            "metric_args.f1.average: expected 'micro' or 'macro' or 'weighted', got 'makro'",
        ),
        (["--devices", "[0, x]"], "devices: expected an integer, got 'x'"),
    ],
)
def test_wrong_values_are_named_by_their_place(call, words, message):
    failed = call("train", "--out", "x", "--model", MODEL, "--data.train", "a", "--data.val", "b", *words)
    assert failed.status == 2
    assert failed.err.startswith("error: ")
    assert message in failed.err
    assert "Traceback" not in failed.err


def test_a_folder_that_is_full_is_answered_in_words_for_the_command_line_too(call, words, tmp_path):
    (tmp_path / "note.txt").write_text("mine")
    failed = call(*words, "--out", tmp_path)
    assert failed.status == 2
    assert failed.err.endswith("choose another `out`\n")
    (tmp_path / "train.log").touch()
    failed = call(*words, "--out", tmp_path)
    assert "`overwrite`" in failed.err
    assert "`resume_interrupted`" not in failed.err
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").write_bytes(b"")
    failed = call(*words, "--out", tmp_path)
    assert "`resume_interrupted`" in failed.err
    assert "True" not in failed.err


def test_the_best_metrics_are_printed_as_json(call, words, tmp_path):
    done = call(*words, "--out", tmp_path / "run", "--metric-args.classwise")
    answer = json.loads(done.out)
    assert answer["best_step"] == 3
    assert "val_metric/f1/red" in answer
    assert answer["report"] == str(tmp_path / "run" / "report.html")
    assert "test_loss" not in answer
    assert lightly_train.load_model(answer["exported_best"], device="cpu").classes == {4: "red", 7: "green", 9: "blue"}
