from __future__ import annotations

import csv
import gc
import json
import shutil
import signal
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml

import lightly_train
import lt_data
from lightly_train.errors import (
    ConfigError,
    DatasetError,
    ImageDecodeError,
    ModelFileError,
    ResumeError,
    RunFolderError,
    TrainConfigError,
    UnknownModelError,
    WeightsError,
)
from lt_models import Classifier


def problems_of(caught) -> dict[str, str]:
    return {problem.where: problem.what for problem in caught.value.problems}


def test_all_wrong_arguments_are_reported_together_with_their_full_paths(run, data, tmp_path):
    with pytest.raises(ConfigError) as caught:
        run(
            tmp_path / "run",
            data={**data, "csv_image_colum": "x"},
            steps=0,
            seed="seven",
            precision=None,
            model_args={"learning_rate": 1, "lr": -1},
            transform_args={"image_sise": (32, 32), "random_crop": {"min_scal": 1}},
            logger_args={"tensorbord": None},
            metric_args={"watch": "x"},
            loader_args={"prefetch": 2},
            save_checkpoint_args={"save_lst": True},
            ema_decay=0.9,
            image_size=(32, 32),
            batchsize=8,
            unknown=1,
        )
    found = problems_of(caught)
    assert set(found) == {
        "ema_decay",
        "image_size",
        "batchsize",
        "unknown",
        "data.csv_image_colum",
        "steps",
        "seed",
        "model_args.learning_rate",
        "model_args.lr",
        "transform_args.image_sise",
        "transform_args.random_crop.min_scal",
        "logger_args.tensorbord",
        "metric_args.watch",
        "loader_args.prefetch",
        "save_checkpoint_args.save_lst",
    }
    assert "did you mean `csv_image_column`?" in found["data.csv_image_colum"]
    assert "did you mean `tensorboard`?" in found["logger_args.tensorbord"]
    assert "did you mean `lr`?" in found["model_args.learning_rate"]
    assert "did you mean `model_args.ema_decay`?" in found["ema_decay"]
    assert "did you mean `transform_args.image_size`?" in found["image_size"]
    assert "did you mean `batch_size`?" in found["batchsize"]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("wrong", [None, 18, ""])
def test_what_names_no_model_is_answered_with_what_does(run, tmp_path, wrong):
    with pytest.raises(ConfigError, match=r"model +expected a name such as 'timm/resnet18'"):
        run(tmp_path / "run", model=wrong)


def test_multilabel_of_folders_is_refused_before_anything_is_written(run, tmp_path):
    with pytest.raises(ConfigError, match=r"multilabel needs `train_csv`, `val_csv`"):
        run(tmp_path / "run", classification_task="multilabel")
    assert not (tmp_path / "run").exists()


def test_a_run_folder_among_the_images_is_refused_as_its_name_would_be_a_class(run, data):
    for out, key in ((data["train"] / "run", "train"), (data["val"], "val")):
        with pytest.raises(ConfigError, match=rf"out .*lies in data\.{key} .*choose a folder outside"):
            run(out, overwrite=True)
    assert not (data["train"] / "run").exists()


@pytest.fixture(scope="module")
def trained_multilabel(train_on, multilabel_data, tmp_path_factory):
    out = tmp_path_factory.mktemp("multilabel") / "run"
    return train_on(out, multilabel_data, classification_task="multilabel", steps=60)


def labelled_images(table):
    with open(table, encoding="utf-8", newline="") as stream:
        return [(table.parent / row["image_path"], row["label"].split(",")) for row in csv.DictReader(stream)]


def test_a_multilabel_model_gives_all_labels_above_the_threshold(trained_multilabel, multilabel_data):
    assert trained_multilabel.best_metrics["val_metric/f1_macro"] > 0.8
    model = lightly_train.load_model(trained_multilabel.exported_best, device="cpu")
    assert model.task.task == "multilabel"
    found = set()
    for image, _ in labelled_images(multilabel_data["val_csv"]):
        scores = dict(zip(model.classes, model.scores([image])[0].tolist(), strict=True))
        for threshold in (0.5, 0.9):
            result = model.predict(image, threshold=threshold)
            assert set(result["labels"].tolist()) == {i for i, score in scores.items() if score > threshold}
            assert (result["scores"].diff() <= 0).all()
        found.add(len(model.predict(image)["labels"]))
    assert len(found) > 1


def test_validation_counts_the_labels_that_predict_gives(trained_multilabel, multilabel_data):
    model = lightly_train.load_model(trained_multilabel.exported_best, device="cpu")
    wrong = total = 0
    for image, names in labelled_images(multilabel_data["val_csv"]):
        truth = {i for i, name in model.classes.items() if name in names}
        predicted = set(model.predict(image)["labels"].tolist())
        wrong, total = wrong + len(truth ^ predicted), total + len(model.classes)
    assert trained_multilabel.best_metrics["val_metric/hamming_distance"] == wrong / total
    assert trained_multilabel.best_metrics["val_metric/accuracy"] == (total - wrong) / total


def test_metrics_can_be_chosen(run, tmp_path):
    chosen = {
        "watch_metric": "val_metric/recall/green",
        "classwise": True,
        "train": True,
        "precision": None,
        "f1": {"average": ["weighted"]},
        "matthews_corrcoef": {},
    }
    result = run(tmp_path / "run", steps=2, metric_args=chosen)
    names = {name for name in result.best_metrics if name.count("/") == 1}
    assert names == {
        *("val_metric/top1_acc_micro", "val_metric/f1_weighted", "val_metric/recall_macro"),
        "val_metric/matthews_corrcoef",
    }
    with pytest.raises(TrainConfigError, match="only multilabel tasks have auroc"):
        run(tmp_path / "other", metric_args={"auroc": {}})


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"model": "timm/test_resnot"}, UnknownModelError),
        ({"model": "timm/test_resnet"}, WeightsError),
        ({"model": "no/such/file.pt"}, ModelFileError),
        ({"data": {"train": "no/such/folder", "val": "neither/this"}}, DatasetError),
        ({"resume_interrupted": True}, ResumeError),
    ],
)
def test_wrong_input_is_refused_before_anything_is_written(run, tmp_path, changes, error):
    with pytest.raises(error):
        run(tmp_path / "run", **changes)
    assert not (tmp_path / "run").exists()
    assert gc.isenabled()


def test_the_garbage_collector_works_in_a_run_as_it_did_before(run, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr("lt_train.fit", lambda **arguments: seen.append((gc.isenabled(), gc.get_freeze_count())))
    run(tmp_path / "run")
    gc.disable()
    try:
        run(tmp_path / "run")
    finally:
        gc.enable()
    assert seen == [(True, 0), (False, 0)]


def test_an_image_size_that_the_model_cannot_take_is_refused_before_training(run, tmp_path):
    changes = {
        "model": "timm/test_vit-notpretrained",
        "transform_args": {"image_size": (48, 48), "val": {"image_size": (40, 33)}},
    }
    with pytest.raises(TrainConfigError, match=r"image_size.*40 x 33"):
        run(tmp_path / "run", **changes)
    assert not (tmp_path / "run").exists()


def test_classes_whose_ids_change_are_warned_of(run, data, tmp_path, caplog):
    first = run(tmp_path / "a", steps=1)
    run(tmp_path / "b", steps=1, model=first.exported_last)
    assert "other IDs" not in caplog.text
    turned = {**data, "classes": {0: "blue", 1: "red", 2: "green"}}
    run(tmp_path / "c", steps=1, model=first.exported_last, data=turned)
    assert "classes have other IDs than in the model to start from: blue " in caplog.text


def test_a_grey_model_is_continued_as_a_grey_model(run, tmp_path):
    grey = {"image_size": (32, 32), "num_channels": 1}
    first = run(tmp_path / "a", transform_args=grey)
    second = run(tmp_path / "b", model=first.exported_best, transform_args=None, reuse_class_head=True)
    assert lightly_train.load_model(second.exported_best, device="cpu").task.preprocessing.num_channels == 1


def test_a_model_goes_on_with_images_of_other_channels_and_another_size(run, tmp_path):
    first = run(tmp_path / "a", model="timm/test_vit-notpretrained", steps=1, transform_args={"image_size": (32, 32)})
    other = {"num_channels": 4, "image_size": (48, 64)}
    second = run(tmp_path / "b", model=first.exported_last, steps=1, model_args={"lr": 1e-30}, transform_args=other)
    trained = lightly_train.load_model(second.exported_last, device="cpu")
    assert trained.task.preprocessing.image_size == (48, 64)
    before = lightly_train.load_model(first.exported_last, device="cpu").classifier.backbone.patch_embed.proj.weight
    after = trained.classifier.backbone.patch_embed.proj.weight
    torch.testing.assert_close(after[:, 3], before[:, 0] * 3 / 4, atol=1e-6, rtol=0)
    with pytest.raises(ModelFileError, match="4 channels and cannot be adapted to 3"):
        run(tmp_path / "c", model=second.exported_last, transform_args={"num_channels": 3})


def test_a_head_can_only_be_reused_from_a_file(run, tmp_path):
    with pytest.raises(ConfigError, match="reuse_class_head"):
        run(tmp_path / "run", reuse_class_head=True)


def test_images_of_another_kind_are_found_before_anything_is_written(run, tmp_path):
    with pytest.raises(ImageDecodeError, match="has 3 channels"):
        run(tmp_path / "run", transform_args={"image_size": (32, 32), "num_channels": 2})
    assert not (tmp_path / "run").exists()


def test_a_folder_in_use_is_refused_before_the_data_is_read(run, tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(RunFolderError, match="choose another `out`$"):
        run(tmp_path, data={"train": "no/such/folder", "val": "neither/this"})


def test_a_folder_that_is_filled_while_the_data_is_read_is_refused_too(run, tmp_path, monkeypatch):
    out, build_index = tmp_path / "run", lt_data.build_index

    def filling(*arguments, **more):
        out.mkdir()
        (out / "notes.txt").touch()
        return build_index(*arguments, **more)

    monkeypatch.setattr(lt_data, "build_index", filling)
    with pytest.raises(RunFolderError, match="not empty"):
        run(out)
    assert [path.name for path in out.iterdir()] == ["notes.txt"]


def test_a_run_can_replace_another_and_the_result_says_where_the_models_are(run, tmp_path):
    first = run(tmp_path / "run")
    second = run(tmp_path / "run", overwrite=True)
    assert second == first
    assert second.exported_best == tmp_path / "run/exported_models/exported_best.pt"
    assert set(second.best_metrics) >= {"val_loss", "val_metric/top1_acc_micro", "val_metric/f1_macro"}


def test_a_run_does_not_replace_another_whose_split_it_is_to_learn_from(run, data, tmp_path):
    run(tmp_path / "run", data={"train": data["train"], "val": 0.25, "classes": data["classes"]}, steps=1)
    before = sorted((tmp_path / "run").rglob("*"))
    tables = {f"{split}_csv": tmp_path / f"run/split/{split}.csv" for split in ("train", "val")}
    with pytest.raises(RunFolderError, match=r"train\.csv: belongs to the data"):
        run(tmp_path / "run", data={**tables, "classes": data["classes"]}, overwrite=True)
    assert sorted((tmp_path / "run").rglob("*")) == before


def test_replacing_a_run_leaves_a_data_set_in_its_folder(run, data, tmp_path):
    inside = shutil.copytree(data["train"], tmp_path / "run/split/train")
    run(tmp_path / "run", data={**data, "train": inside}, overwrite=True, steps=1)
    assert (tmp_path / "run/checkpoints/last.ckpt").is_file()
    assert len(list(inside.glob("*/*"))) == 24


def test_values_of_numpy_are_taken_as_python_has_them(run, data, tmp_path):
    plain = {
        "data": {**data, "ignore_classes": ["blue"], "classes": {4: "red", 7: "green", 9: "blue"}},
        "model": "timm/test_resnet-notpretrained",
        "steps": 1,
        "seed": 3,
        "metric_args": {"watch_metric": "val_loss"},
        "model_args": {"lr": 0.5, "backbone_args": {"output_stride": 32, "drop_block_rate": 0.25, "act_layer": "relu"}},
        "logger_args": {"tensorboard": None},
    }
    result = run(tmp_path / "run", **of_numpy(plain))
    assert lightly_train.load_model(result.exported_best, device="cpu").classes == {4: "red", 7: "green"}
    asked = yaml.safe_load((tmp_path / "run/config.yaml").read_text(encoding="utf-8"))
    assert asked["data"]["classes"] == plain["data"]["classes"]
    assert asked["model_args"] == plain["model_args"]
    assert (asked["steps"], asked["seed"], asked["metric_args"]["watch_metric"]) == (1, 3, "val_loss")
    assert run(tmp_path / "run", **plain, resume_interrupted=True).best_step == 1


def of_numpy(value):
    """Values as NumPy's scalars, at any depth."""
    if isinstance(value, dict):
        return {of_numpy(key) if isinstance(key, int) else key: of_numpy(one) for key, one in value.items()}
    if isinstance(value, list):
        return list(np.array(value))
    kinds = {str: np.str_, int: np.int64, float: np.float64, bool: np.bool_}
    return kinds[type(value)](value) if type(value) in kinds else value


def test_what_no_file_can_hold_is_refused_before_the_earlier_run_is_replaced(run, tmp_path):
    before = run(tmp_path / "run", steps=1).exported_best.read_bytes()
    with pytest.raises(TrainConfigError, match=r"torch_compile_args\.backend: expected text.*print"):
        run(tmp_path / "run", steps=1, torch_compile_args={"backend": print}, overwrite=True)
    assert (tmp_path / "run/exported_models/exported_best.pt").read_bytes() == before


def test_the_log_tells_what_was_read_and_then_the_arguments_before_training(run, tmp_path):
    run(tmp_path / "run", seed=5)
    log = (tmp_path / "run/train.log").read_text(encoding="utf-8")
    opening = log.partition("arguments: ")[2]
    arguments, _ = json.JSONDecoder().raw_decode(opening)
    assert log.index("train: 24 images") < log.index("arguments: ") < log.index("training on")
    assert arguments["seed"] == 5
    assert arguments["model_args"]["lr"] == 3e-3
    assert arguments["data"]["classes"] == {"4": "red", "7": "green", "9": "blue"}


def test_a_yaml_file_serves_as_data(run, data, tmp_path):
    (tmp_path / "data.yaml").write_text(f"train: {data['train']}\nval: {data['val']}\n")
    result = run(tmp_path / "run", data=tmp_path / "data.yaml")
    assert lightly_train.load_model(result.exported_last, device="cpu").classes == {0: "blue", 1: "green", 2: "red"}


def test_csv_files_serve_as_data_with_names_or_ids(run, data, tmp_path):
    for kind in ("name", "id"):
        for split in ("train", "val"):
            rows = [
                f'{path},"{path.parent.name if kind == "name" else class_id}"'
                for class_id, name in data["classes"].items()
                for path in sorted((data[split] / name).iterdir())
            ]
            (tmp_path / f"{split}.csv").write_text("\n".join(["image_path,label", *rows]))
        table = {
            "train_csv": tmp_path / "train.csv",
            "val_csv": tmp_path / "val.csv",
            "classes": data["classes"],
            "ignore_classes": [4],
            "csv_image_column": "image_path",
            "csv_label_column": "label",
            "csv_label_type": kind,
            "label_delimiter": ",",
        }
        result = run(tmp_path / kind, data=table)
        assert lightly_train.load_model(result.exported_best, device="cpu").classes == {7: "green", 9: "blue"}


def test_ignored_classes_are_neither_trained_nor_predicted(run, data, tmp_path):
    result = run(tmp_path / "run", data={**data, "ignore_classes": [7]})
    model = lightly_train.load_model(result.exported_best, device="cpu")
    assert model.classes == {4: "red", 9: "blue"}
    labels = {int(model.predict(path)["labels"]) for path in data["val"].glob("*/*.png")}
    assert labels <= {4, 9}


@pytest.mark.parametrize("place", ["earlier", "./earlier", "{root}/earlier", "{root}/nothing"])
def test_a_run_folder_given_as_a_model_is_told_where_its_best_model_is(run, tmp_path, monkeypatch, place):
    run(tmp_path / "earlier")
    monkeypatch.chdir(tmp_path)
    there = r"is a folder; a run's best model is exported_models.exported_best\.pt in it"
    message = "there is no such file" if place.endswith("nothing") else there
    with pytest.raises(ModelFileError, match=message):
        run(tmp_path / "run", model=place.format(root=tmp_path))


def test_going_on_after_an_interruption_needs_the_same_arguments(run, tmp_path):
    run(tmp_path / "run")
    settings, log = ((tmp_path / "run" / name).read_text() for name in ("settings.json", "train.log"))
    with pytest.raises(ResumeError, match=r"model_args\.lr: was 0\.003, is 0\.1"):
        run(tmp_path / "run", resume_interrupted=True, model_args={"lr": 0.1})
    assert (tmp_path / "run" / "settings.json").read_text() == settings
    assert "arguments: {" not in (tmp_path / "run" / "train.log").read_text().removeprefix(log)
    assert run(tmp_path / "run", resume_interrupted=True, num_workers=1).best_step


def test_a_run_with_relative_paths_is_resumed_from_its_own_config(train_on, data, tmp_path, monkeypatch):
    monkeypatch.chdir(data["train"].parent)
    train_on(tmp_path / "run", {"train": "train", "val": "./val"}, steps=1)
    config = yaml.safe_load((tmp_path / "run/config.yaml").read_text(encoding="utf-8"))
    result = lightly_train.train_image_classification(**config, resume_interrupted=True)
    assert result.best_step == 1
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(ResumeError, match=r"data\.train"):
        lightly_train.train_image_classification(**config, resume_interrupted=True)


@pytest.fixture
def training_sizes():
    """Heights of the images of each forward pass in training so far; `stop_after` of them Ctrl-C is pressed."""
    seen = SimpleNamespace(heights=[], stop_after=None)

    def look(module, inputs):
        if isinstance(module, Classifier) and module.training:
            seen.heights.append(inputs[0].shape[2])
            if len(seen.heights) == seen.stop_after:
                signal.raise_signal(signal.SIGINT)

    handle = torch.nn.modules.module.register_module_forward_pre_hook(look)
    yield seen
    handle.remove()


@pytest.mark.parametrize("save_best", [True, False])
def test_a_run_that_replaced_the_run_of_its_own_model_is_resumed_as_it_began(run, tmp_path, training_sizes, save_best):
    model = run(tmp_path / "run", steps=1, model_args={"head": "mlp"}).exported_best
    copied = shutil.copy(model, tmp_path / "copy.pt")
    settings = {
        "transform_args": {"val": {"image_size": (48, 48)}, "resize_scale": 1.5},
        "save_checkpoint_args": {"save_best": save_best},
        "logger_args": {"val_every_num_steps": 1},
    }
    whole = run(tmp_path / "whole", model=copied, **settings)
    training_sizes.heights.clear()
    training_sizes.stop_after = 2
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run", model=model, overwrite=True, **settings)
    resumed = run(tmp_path / "run", model=model, resume_interrupted=True, **settings)
    assert training_sizes.heights == [32] * 4
    one, other = (lightly_train.load_model(result.exported_last, device="cpu") for result in (whole, resumed))
    assert one.task == other.task
    torch.testing.assert_close(other.classifier.state_dict(), one.classifier.state_dict(), rtol=0, atol=0)


def test_training_goes_on_from_an_exported_model(run, trained, tmp_path):
    for start in (trained.exported_best, trained.out / "checkpoints" / "last.ckpt"):
        result = run(tmp_path / start.name, model=start, steps=1, transform_args=None, reuse_class_head=True)
        assert result.best_metrics["val_metric/top1_acc_micro"] >= 0.9
        assert lightly_train.load_model(result.exported_last, device="cpu").task.preprocessing.image_size == (32, 32)


@pytest.mark.parametrize("head", ["linear", "mlp", "cosine"])
def test_head_rows_follow_the_names_of_the_classes(run, data, tmp_path, head):
    trained = run(tmp_path / "first", steps=20, model_args={"lr": 3e-3, "head": head})
    renamed = {**data, "classes": {0: "blue", 1: "red", 2: "green"}}
    frozen = {"lr": 1e-30, "backbone_freeze": True}
    result = run(
        tmp_path / "a",
        data=renamed,
        model=str(trained.exported_best),
        steps=1,
        model_args=frozen,
        reuse_class_head=True,
    )
    old = lightly_train.load_model(trained.exported_best, device="cpu")
    new = lightly_train.load_model(result.exported_last, device="cpu")
    for path in data["val"].glob("*/*.png"):
        before, after = old.predict(path), new.predict(path)
        assert old.classes[int(before["labels"])] == new.classes[int(after["labels"])]
        torch.testing.assert_close(before["scores"], after["scores"])


def test_a_head_of_another_kind_cannot_be_kept(run, trained, tmp_path):
    with pytest.raises(ModelFileError, match=r"reuse_class_head.*linear.*cosine"):
        run(tmp_path / "a", model=trained.exported_best, reuse_class_head=True, model_args={"head": "cosine"})


def test_a_model_goes_on_with_the_head_and_pooling_that_it_was_built_with(run, tmp_path):
    built = {"head": "mlp", "pooling": "avg", "backbone_args": {"mlp_ratio": 2.0}}
    first = run(tmp_path / "a", model="timm/test_vit-notpretrained", steps=1, model_args=built)
    second = run(tmp_path / "b", model=first.exported_last, steps=1)
    spec = lightly_train.load_model(second.exported_last, device="cpu").classifier.spec
    assert (spec.head, spec.pooling, spec.backbone_args) == ("mlp", "avg", {"mlp_ratio": 2.0})


def test_a_transformer_that_goes_on_from_weights_learns_slower_in_early_blocks(run, tmp_path):
    first = run(tmp_path / "a", model="timm/test_vit-notpretrained", steps=1)
    second = run(tmp_path / "b", model=first.exported_last, steps=1)
    for result, decayed in ((first, False), (second, True)):
        log = (result.out / "train.log").read_text(encoding="utf-8")
        resolved, _ = json.JSONDecoder().raw_decode(log.partition("resolved: ")[2])
        assert (resolved["layer_decay"] < 1.0) == decayed


def test_only_one_of_two_sources_of_weights_is_taken(run, trained, tmp_path):
    with pytest.raises(ConfigError, match=r"model_args\.backbone_weights.*leave one of the two out"):
        run(tmp_path / "a", model=trained.exported_best, model_args={"backbone_weights": "weights.pth"})


def test_weights_of_the_backbone_that_are_not_there_are_told_before_anything_is_written(run, tmp_path):
    with pytest.raises(WeightsError, match="no such file"):
        run(tmp_path / "a", model_args={"backbone_weights": tmp_path / "weights.pth"})
    with pytest.raises(ConfigError, match=r"model_args\.backbone_weights.*expected a path, got 3"):
        run(tmp_path / "a", model_args={"backbone_weights": 3})
    assert not (tmp_path / "a").exists()


def test_without_asking_the_head_is_new(run, trained, tmp_path):
    result = run(tmp_path / "a", model=trained.exported_best, steps=1, model_args={"lr": 1e-30})
    old, new = (lightly_train.load_model(path, device="cpu") for path in (trained.exported_best, result.exported_last))
    assert not torch.equal(old.classifier.head.weight, new.classifier.head.weight)
    conv = "backbone.conv1.0.weight"
    torch.testing.assert_close(new.classifier.state_dict()[conv], old.classifier.state_dict()[conv], atol=1e-6, rtol=0)


def test_a_share_for_validation_is_written_to_the_run_folder_and_can_be_used_again(run, data, tmp_path):
    first = run(tmp_path / "run", data={"train": data["train"], "val": 0.34, "cache": "ram", "split_seed": 3})
    split = tmp_path / "run" / "split"
    tables = {"train_csv": split / "train.csv", "val_csv": split / "val.csv"}
    again = run(tmp_path / "again", data={**tables, "cache": "ram"})
    assert again.last_metrics == first.last_metrics
    assert not (tmp_path / "again" / "split").exists()


def test_reading_files_otherwise_than_the_model_to_start_from_is_said(run, data, trained, tmp_path, caplog):
    run(tmp_path / "run", model=trained.exported_best, data={**data, "dicom_window": [40, 400]})
    assert "files are read otherwise than for the model to start from" in caplog.text
