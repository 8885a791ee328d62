"""Every argument of the Python functions is an option."""

from __future__ import annotations

import inspect

import attrs
import pytest

import lightly_train
import lt_data
import lt_data.torch
import lt_train
from lightly_train.cli import evaluate, preview, train
from lightly_train.cli.collect import collect, kinds_of

SETTINGS = {
    "data": lt_data.DataConfig,
    "transform_args": lt_data.TransformConfig,
    "model_args": lt_train.ModelArgs,
    "logger_args": lt_train.LoggerArgs,
    "metric_args": lt_train.MetricArgs,
    "save_checkpoint_args": lt_train.SaveCheckpointArgs,
    "early_stopping_args": lt_train.EarlyStoppingArgs,
    "loader_args": lt_train.LoaderArgs,
}
BELOW = {
    "transform_args.random_flip": lt_data.RandomFlip,
    "transform_args.color_jitter": lt_data.ColorJitter,
    "transform_args.normalize": lt_data.Normalize,
    "logger_args.mlflow": lt_train.MLflowArgs,
    "logger_args.wandb": lt_train.WandbArgs,
    "logger_args.tensorboard": lt_train.TensorBoardArgs,
    "metric_args.accuracy": lt_train.AccuracyArgs,
    "metric_args.f1": lt_train.AverageArgs,
    "metric_args.expected_calibration_error": lt_train.CalibrationArgs,
}


def option(name: str) -> str:
    return "--" + name.replace("_", "-")


def names(settings: dict[str, type]) -> set[str]:
    return {option(f"{name}.{field.name}") for name, cls in settings.items() for field in attrs.fields(cls)}


def test_every_argument_and_every_key_is_an_option_of_train():
    arguments = {*inspect.signature(lightly_train.train_image_classification).parameters} - {"unknown"}
    known = {one.name for one in train.options()}
    assert {option(name) for name in arguments} | {"--config"} == {name for name in known if "." not in name}
    assert names(SETTINGS) == {name for name in known if name.count(".") == 1}
    assert names(BELOW) < {name for name in known if name.count(".") == 2}


def test_what_is_on_unless_said_otherwise_is_shown_with_how_it_is_turned_off(call):
    shown = call("train", "--help").out
    off = "--save-checkpoint-args.no-save-last"
    assert f"--save-checkpoint-args.save-last, {off}" in shown
    required = ["--out", "x", "--model", "timm/resnet18", "--data.train", "a", "--data.val", "b"]
    assert train.read_words([*required, off]).training.save_checkpoint_args.save_last is False


def test_every_option_is_described_with_its_type_and_default(call):
    shown = " ".join(call("train", "--help").out.split())
    for one in train.options():
        assert f"{one.name} " in shown or f"{one.name}, " in shown
        assert one.description
    for part in (
        "--model-args.lr number Peak learning rate at batch size 16",
        "[default: 0.0003]",
        "--steps integer|auto",
        "[default: [1, 5]]",
        "--transform-args.color-jitter.prob number Probability that an image is changed. [default: 0.5]",
        "--logger-args.mlflow.tracking-uri text|null Address of the server",
        "--out path Run folder",
        "[required]",
        "Exit status: 0 fine",
    ):
        assert part in shown


def test_preview_and_evaluate_have_the_arguments_of_their_functions_by_their_names():
    theirs = set(inspect.signature(lt_data.torch.preview).parameters) - {"task"} | {"classification_task"}
    assert {one.place[0] for one in preview.options()} == theirs
    assert names({"transform_args": lt_data.TransformConfig}) <= {one.name for one in preview.options()}
    assert names({"metric_args": lt_train.MetricArgs}) <= {one.name for one in evaluate.options()}


@pytest.mark.parametrize("module", [train, preview, evaluate])
def test_each_option_is_found_where_its_value_belongs_with_dashes_and_with_underscores(module):
    kinds = train.kinds() if module is train else kinds_of(module.Arguments)
    for one in module.options():
        for name in (one.name, "--" + ".".join(one.place)):
            assert list(collect([f"{name}=auto"], kinds).values) == [one.place]


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (["--steps", "7"], {"steps": 7}),
        (["--steps", "auto"], {"steps": "auto"}),
        (["--steps", "5", "--steps=7"], {"steps": 7}),
        (["--epochs=0.5"], {"epochs": 0.5}),
        (["--model-args.lr", "1e-3"], {"model_args.lr": 1e-3}),
        (["--model_args.lr", "-1"], {"model_args.lr": -1}),
        (["--model-args", "{lr: 1e-3, pooling: avg}"], {"model_args": {"lr": 1e-3, "pooling": "avg"}}),
        (["--model-args.class-weights", "balanced"], {"model_args.class_weights": "balanced"}),
        (["--model-args.class-weights.no-entry", "2"], {"model_args.class_weights.no-entry": 2}),
        (["--model-args.backbone-freeze"], {"model_args.backbone_freeze": True}),
        (["--model-args.backbone-freeze", "2"], {"model_args.backbone_freeze": 2}),
        (["--model-args.backbone-freeze", "norms"], {"model_args.backbone_freeze": "norms"}),
        (["--model-args.backbone-args.mlp-ratio", "2.0"], {"model_args.backbone_args.mlp_ratio": 2.0}),
        (["--overwrite", "--seed", "3"], {"overwrite": True, "seed": 3}),
        (["--overwrite", "false"], {"overwrite": False}),
        (["--no-overwrite"], {"overwrite": False}),
        (["--save-checkpoint-args.no-save-last"], {"save_checkpoint_args.save_last": False}),
        (["--transform-args.image-size", "32,48"], {"transform_args.image_size": [32, 48]}),
        (["--transform-args.image-size", "[32, 48]"], {"transform_args.image_size": [32, 48]}),
        (["--transform-args.image-size", "auto"], {"transform_args.image_size": "auto"}),
        (["--transform-args.random-flip", "null"], {"transform_args.random_flip": None}),
        (["--data.ignore-classes", "0,dog"], {"data.ignore_classes": [0, "dog"]}),
        (["--data.classes.0", "no"], {"data.classes.0": "no"}),
        (["--data.val", "0.2"], {"data.val": 0.2}),
        (["--data.val", "some dir/Größe"], {"data.val": "some dir/Größe"}),
        (["--data.csv-label-column", "on"], {"data.csv_label_column": "on"}),
        (["--devices", "0,1"], {"devices": "0,1"}),
        (["--devices", "[0, 1]"], {"devices": [0, 1]}),
        (["--logger-args.mlflow.run-name", "2024"], {"logger_args.mlflow.run_name": "2024"}),
        (["--logger-args.mlflow.run-name", "null"], {"logger_args.mlflow.run_name": None}),
        (["--logger-args.mlflow.tags.team", "no"], {"logger_args.mlflow.tags.team": "no"}),
        (["--out", "a=b"], {"out": "a=b"}),
        (["--data", "{trian: a}"], {"data": {"trian": "a"}}),
        (["--data", "train: a"], {"data": {"train": "a"}}),
        (["--data", "5"], {"data": "5"}),
        (["--out=--a"], {"out": "--a"}),
        (["--torch-compile-args.mode", "max-autotune"], {"torch_compile_args.mode": "max-autotune"}),
    ],
)
def test_a_value_is_read_as_its_option_means_it(words, values):
    found = collect(words, train.kinds())
    assert {".".join(place): value for place, value in found.values.items()} == values
    assert [type(value) for value in found.values.values()] == [type(value) for value in values.values()]
    assert not found.problems


@pytest.mark.parametrize("text", ["|", ">", "#", "- a", "a: b", '"x"', "*", "&", "!", "%", "@", "~", "'1'"])
@pytest.mark.parametrize(
    "name",
    [
        *("data.label_delimiter", "data.split_group_column", "data.csv_label_type", "data.train", "data.classes.0"),
        *("out", "data.val", "data", "steps", "model_args.layer_decay", "model_args.loss"),
    ],
)
def test_text_paths_and_words_are_taken_as_typed_whatever_yaml_makes_of_them(name, text):
    found = collect([f"--{name}", text], train.kinds())
    assert list(found.values.values()) == [text]


def test_a_key_of_a_mapping_goes_into_the_mapping_wherever_it_stands():
    words = ["--model-args.class-weights.Größe", "2", "--model-args.class-weights", "{cat: 3}"]
    typed = collect(words, train.kinds()).values
    assert train.with_typed({}, typed) == {"model_args": {"class_weights": {"cat": 3, "Größe": 2}}}
    typed = collect(["--data.classes.4", "rot"], train.kinds()).values
    assert train.with_typed({"data": {"classes": {4: "red", 7: "green"}}}, typed) == {
        "data": {"classes": {4: "rot", 7: "green"}}
    }
