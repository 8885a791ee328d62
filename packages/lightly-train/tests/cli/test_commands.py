from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
import types
from pathlib import Path

import pytest
from PIL import Image

import lightly_train


@pytest.fixture(scope="module")
def onnx_model(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "модель один.onnx"
    lightly_train.load_model(trained.exported_best, device="cpu").export_onnx(path)
    return path


@pytest.fixture
def folder(data, tmp_path):
    """Eight images below a folder with a name of spaces and letters, and one that is none."""
    root = tmp_path / "снимки 2"
    shutil.copytree(data["val"] / "blue", root / "blaue Bänder")
    shutil.copytree(data["val"] / "red", root / "red")
    (root / "red" / "broken.png").write_bytes(b"\x89PNG nothing")
    return root


@pytest.fixture
def data_file(data, tmp_path):
    (tmp_path / "мои data").mkdir()
    file = tmp_path / "мои data" / "data.yaml"
    file.write_text(f"train: {data['train']}\nval: {data['val']}\nclasses: {data['classes']}\n")
    return file


def test_images_are_classified_and_unreadable_ones_are_named(call, trained, onnx_model, folder):
    images = [folder / "blaue Bänder" / "0.png", folder / "red" / "broken.png", folder / "red" / "1.png"]
    for model in (trained.exported_best, onnx_model):
        answer = call("predict", model, *images, "--device", "cpu", "--topk", 2)
        rows = [json.loads(line) for line in answer.out.splitlines()]
        assert [row["path"] for row in rows] == list(map(str, images))
        assert [row["names"][0] if "names" in row else None for row in rows] == ["blue", None, "red"]
        assert rows[1]["error"].startswith("is none of the image formats")
        assert answer.status == 2
        assert answer.err.startswith(f"error: {images[1]}: is none of")


def test_a_calibrated_model_is_written_and_its_thresholds_are_used(call, train_on, multilabel_data, tmp_path):
    trained = train_on(tmp_path / "run", multilabel_data, steps=2, classification_task="multilabel")
    out, table = tmp_path / "calibrated.pt", multilabel_data["val_csv"]
    answer = call("calibrate", trained.exported_last, table, "--out", out)
    assert answer.status == 0
    found = json.loads(answer.out)
    assert found["out"] == str(out)
    assert found["images"] == 16
    assert found["after"]["log_loss"] < found["before"]["log_loss"]
    calibrated = lightly_train.load_model(out, device="cpu")
    assert calibrated.task.calibration.temperature == found["temperature"]
    assert [row["name"] for row in found["thresholds"]] == list(calibrated.names)
    assert tuple(row["threshold"] for row in found["thresholds"]) == calibrated.task.calibration.thresholds
    assert (found["without_images"], found["unreadable"]) == ([], [])
    assert found["notes"] == []
    image = table.parent / "val0.png"
    calibrated.export_onnx(tmp_path / "calibrated.onnx")
    for model in (out, tmp_path / "calibrated.onnx"):
        row = json.loads(call("predict", model, image, "--threshold", "auto").out)
        assert row["labels"] == calibrated.predict(image, threshold="auto")["labels"].tolist()
    refused = call("predict", trained.exported_last, image, "--threshold", "auto")
    assert refused.status == 2
    assert "this model has no thresholds" in refused.err


@pytest.mark.parametrize("name", ["evaluate", "calibrate"])
def test_labelled_images_are_described_with_options_of_which_only_the_split_need_be_there(
    call, train_on, multilabel_data, tmp_path, name
):
    trained = train_on(tmp_path / "run", multilabel_data, steps=1, classification_task="multilabel")
    table = tmp_path / "bars.csv"
    with open(multilabel_data["val_csv"], newline="") as rows:
        images = [(multilabel_data["val_csv"].parent / one["image_path"], one["label"]) for one in csv.DictReader(rows)]
    lines = [f"{path},{label.replace(',', '|')}" for path, label in images]
    table.write_text("\n".join(["image_path,label", *lines]))
    out = ["--out", tmp_path / "calibrated.pt", "--no-temperature"] if name == "calibrate" else []
    words = [name, trained.exported_last, "--data.test-csv", table, "--split", "test", *out]
    measured = call(*words, "--data.label-delimiter", "|")
    assert (measured.status, json.loads(measured.out)["images"]) == (0, 16), measured.err
    refused = call(*words, "--data.label-delimiterr", "|")
    assert refused.status == 2
    assert "did you mean `label_delimiter`" in refused.err


@pytest.fixture
def with_grey(data, tmp_path):
    """The validation images as a folder with a class that no model knows, and as a table with other columns."""
    shutil.copytree(data["val"], tmp_path / "val")
    shutil.copytree(data["val"] / "red", tmp_path / "val" / "grey")
    rows = [f"{path};{path.parent.name}" for path in sorted((tmp_path / "val").rglob("*.png"))]
    (tmp_path / "val.csv").write_text("\n".join(["image_path;label", *rows]))
    return {"val": ([], tmp_path / "val"), "val_csv": (["--data.csv-delimiter", ";"], tmp_path / "val.csv")}


@pytest.mark.parametrize("name", ["evaluate", "calibrate"])
@pytest.mark.parametrize("kind", ["val", "val_csv"])
def test_a_folder_or_table_may_have_options_beside_it(call, trained, with_grey, tmp_path, name, kind):
    more, source = with_grey[kind]
    words = [name, trained.exported_best, source, *more]
    words += ["--out", tmp_path / "calibrated.pt"] if name == "calibrate" else []
    assert "grey" in call(*words).err
    for split in ("val", "test"):
        done = call(*words, "--data.ignore-classes", "grey", "--split", split)
        assert (done.status, json.loads(done.out)["images"]) == (0, 12), done.err
    twice = call(*words, f"--data.{kind.replace('_', '-')}", "other")
    assert (twice.status, twice.err) == (2, f"error: data.{kind}: is {source} already; give one of the two\n")


def test_a_calibrated_model_is_refused_a_wrong_place_before_the_work(call, trained, data):
    refused = call("calibrate", trained.exported_last, data["val"], "--out", "model.onnx")
    assert refused.status == 2
    assert "ends in .pt" in refused.err


def test_a_folder_is_classified_line_by_line(call, onnx_model, folder):
    answer = call("predict", onnx_model, folder, "--batch-size", 3, "--num-workers", 1)
    rows = {row["path"]: row.get("names") for row in map(json.loads, answer.out.splitlines())}
    assert rows[str(folder / "blaue Bänder" / "2.png")] == ["blue"]
    assert len(rows) == 9
    assert answer.status == 2
    assert f"error: {folder / 'red' / 'broken.png'}: is none of" in answer.err
    assert "images classified: 8, unreadable: 1" in answer.err


@pytest.mark.parametrize("what", ["images", "folder"])
def test_both_commands_print_the_same(call, onnx_model, folder, what):
    images = [folder] if what == "folder" else [folder / "red" / "broken.png", folder / "red" / "1.png"]
    program = [sys.executable, "-m", "lt_export.cli", "predict", str(onnx_model), *map(str, images), "--json"]
    theirs = subprocess.run(program, capture_output=True, text=True, check=False)
    ours = call("predict", onnx_model, *images)
    assert (ours.status, ours.out, ours.err) == (theirs.returncode, theirs.stdout, theirs.stderr)
    assert ours.status == 2


@pytest.mark.parametrize("name", ["preds.csv", "die Ergebnisse ü.jsonl"])
def test_a_folder_is_written_to_a_file_and_gone_on_with(call, onnx_model, folder, tmp_path, name):
    out = tmp_path / name
    assert call("predict", onnx_model, folder, "--out", out).out == ""
    whole = out.read_bytes()
    text = whole.decode("utf-8")
    rows = (
        [json.loads(line) for line in text.splitlines()]
        if out.suffix == ".jsonl"
        else list(csv.DictReader(text.splitlines()))
    )
    assert {row["path"] for row in rows} >= {"blaue Bänder/0.png", "red/broken.png"}
    refused = call("predict", onnx_model, folder, "--out", out)
    assert refused.status == 2
    assert "is there already" in refused.err
    lines = whole.splitlines(keepends=True)
    out.write_bytes(b"".join(lines[:-3]) + lines[-3][:5])
    again = call("predict", onnx_model, folder, "--out", out, "--resume")
    assert out.read_bytes() == whole
    assert "there already: " in again.err
    finished = call("predict", onnx_model, folder, "--out", out, "--resume")
    assert finished.status == again.status == 2
    assert "red/broken.png: " in finished.err.replace("\\", "/")
    assert f"images classified: 0, unreadable: 1, there already: {len(rows)}" in finished.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["predict"], "--model requires an argument"),
        (["predict", "nothing.onnx", "a.png"], "nothing.onnx: No such file or directory"),
        (["predict", "nothing.pt", "a.png"], "nothing.pt"),
        (["predict", "nothing.trt", "a.png"], "nothing.trt"),
        (["predict", "m.onnx", "a.png", "--topkk", "3"], "Did you mean --topk?"),
        (["predict", "m.onnx", "a.png", "--topk", "x"], "--topk"),
        (["predict", "m.onnx", "a.png", "--out", "x.csv"], "--out: for a folder, and none of the images is one"),
        (["predict", "m.onnx", "a.png", "--batch-size", "3"], "--batch-size: for a folder"),
        (["predict", "m.onnx", ".", "a.png"], "give one folder and nothing else"),
        (["predct"], 'Unknown command "predct"'),
        (["list-models", "nothing/*"], "no model matches"),
        (["check-data", "nothing.yaml"], "nothing.yaml does not exist"),
        (["check-data"], "--data: this option is required"),
        (["check-data", "--data.trian", "a"], "did you mean `train`?"),
        (["check-data", "a.yaml", "--num-workers", "0"], "num_workers"),
        (["check-data", "nothing.csv"], "nothing.csv is not a file"),
        (["preview", "--data.train", "a", "--out", "a.png"], "data.train: a is not a folder"),
        (["preview", "--data.val", "a", "--out", "a.png"], "data.train: this key is required"),
        (["preview", "nothing.yaml", "--out", "a.png"], "nothing.yaml does not exist"),
        (["preview", "nothing.yaml", "--out", "a.png", "--num-sampels", "3"], "did you mean `num_samples`?"),
        (["evaluate", "a.pt"], "--data: this option is required"),
        (["evaluate", "a.pt", "b", "--ignore-classes", "[1]"], "did you mean `data.ignore_classes`?"),
        (["evaluate", "a.pt", "b", "--batchsize", "1"], "did you mean `batch_size`?"),
        (["evaluate", "a.pt", "b.yaml", "--split", "vall"], "split: expected 'train' or 'val' or 'test'"),
        (["predict", "{model}", "a.png", "--device", "gpu"], "device must be auto or one that is here (cpu"),
        (["evaluate", "{model}", "d.yaml", "--device", "cuda:99"], "device must be auto or one that is here (cpu"),
        (["calibrate", "{model}", "d.yaml", "--out", "{model}.pt", "--device", "gpu"], "got gpu"),
        (["export-onnx", "nothing.pt", "m.onnx"], "nothing.pt"),
        (["export-onnx", "a.pt", "m.onnx", "--precision", "int9"], "int8"),
    ],
)
def test_wrong_input_is_one_line_and_exit_status_2(call, trained, words, message):
    failed = call(*(word.format(model=trained.exported_best) for word in words))
    assert failed.status == 2
    assert failed.err.startswith("error: ")
    assert message in failed.err
    assert "Traceback" not in failed.err
    assert failed.err.count("\n") == 1


def test_several_problems_have_a_line_each_below_a_heading(call):
    failed = call("preview")
    assert failed.status == 2
    assert failed.err.splitlines() == [
        "error: 2 problems in the arguments:",
        "  --data  this option is required",
        "  --out   this option is required",
    ]


def test_the_home_folder_is_found_wherever_a_path_is_typed(call, onnx_model, trained, data, folder, home):
    (home / "m.onnx").write_bytes(onnx_model.read_bytes())
    (home / "m.pt").write_bytes(trained.exported_best.read_bytes())
    shutil.copy(data["val"] / "red" / "0.png", home / "0.png")
    shutil.copytree(data["val"], home / "val")
    for model in ("~/m.onnx", "~/m.pt"):
        answer = call("predict", model, "~/0.png", "--device", "cpu")
        assert json.loads(answer.out)["names"] == ["red"]
    assert call("predict", "~/m.onnx", "~/val", "--out", "~/found.csv").status == 0
    assert call("evaluate", "~/m.onnx", "~/val", "--out", "~/figures").status == 0
    assert call("calibrate", "~/m.pt", "~/val", "--out", "~/calibrated.pt", "--device", "cpu").status == 0
    assert {"found.csv", "figures", "calibrated.pt"} <= {path.name for path in home.iterdir()}


def test_the_traceback_of_an_error_is_shown_when_asked_for(call):
    failed = call("predict", "nothing.onnx", "a.png", "--debug")
    assert failed.status == 2
    assert "Traceback" in failed.err
    where = Path("nothing.onnx").absolute()
    told = f"error: nothing.onnx: No such file or directory (it is looked for at {where})"
    assert failed.err.splitlines()[-1] == told


def test_an_error_that_should_not_happen_is_one_line_and_exit_status_1(call, monkeypatch):
    def break_down(pattern):
        raise ZeroDivisionError("two\nlines")

    monkeypatch.setattr("lt_models.list_models", break_down)
    failed = call("list-models")
    assert failed.status == 1
    assert failed.err == "error: unexpected ZeroDivisionError: two lines; --debug shows where\n"


@pytest.mark.parametrize(
    ("words", "place"),
    [(["list-models"], "lt_models.list_models"), (["preview", "a", "--out", "b"], "lt_data.torch.preview")],
)
def test_ctrl_c_ends_a_command_quietly(call, monkeypatch, words, place):
    def interrupt(*arguments, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(place, interrupt)
    stopped = call(*words)
    assert (stopped.status, stopped.out, stopped.err) == (130, "", "")


def test_a_training_that_is_stopped_before_it_has_saved_says_so(call, monkeypatch, folder, tmp_path):
    def interrupt(*arguments, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr("lt_data.build_index", interrupt)
    words = ["train", "--out", tmp_path / "run", "--model", "timm/test_resnet-notpretrained", "--data", folder]
    stopped = call(*words, "--data.val", "0.5")
    assert (stopped.status, stopped.out) == (130, "")
    assert stopped.err.endswith("stopped before anything was saved\n")


def test_an_empty_text_is_no_image_and_not_the_working_directory(call, tmp_path):
    failed = call("predict", tmp_path / "model.onnx", "")
    assert failed.status == 2
    assert failed.err == "error: one of the images is an empty text; give paths or URLs\n"
    for words in (["check-data", ""], ["evaluate", "model.onnx", ""], ["preview", "", "--out", "a.png"]):
        assert "data: expected a path, got an empty text" in call(*words).err


def test_good_data_are_a_table_and_bad_data_exit_status_2(call, data_file, folder, tmp_path):
    fine = call("check-data", data_file)
    assert fine.status == 0, fine.err
    assert "red" in fine.out
    bad = tmp_path / "bad.yaml"
    bad.write_text(f"train: '{folder}'\nval: 0.5\n", encoding="utf-8")
    found = call("check-data", bad, "--json")
    assert found.status == 2
    assert json.loads(found.out)["ok"] is False


@pytest.mark.parametrize("with_file", [False, True], ids=["without a file", "beside a file"])
def test_data_are_described_with_options_alone_or_beside_a_file(call, data, data_file, tmp_path, with_file):
    described = [f"--data.{key}={data[key]}" for key in ("train", "val")]
    words = [data_file, "--data.ignore-classes", "red"] if with_file else [*described, "--data.ignore-classes", "[red]"]
    checked = call("check-data", *words, "--json")
    assert checked.status == 0, checked.err
    assert json.loads(checked.out)["splits"][0]["counts"].keys() == {"blue", "green"}
    out = tmp_path / "picture.png"
    drawn = call("preview", *words, "--out", out, "--num-samples", 1, "--num-variants", 1)
    assert (drawn.status, out.exists()) == (0, True), drawn.err


@pytest.fixture
def with_columns(data):
    """A table of the training images with a column for each class."""
    names = data["classes"].values()
    table = data["train"].parent / "train one-hot.csv"
    rows = [
        ",".join([f"train/{name}/{i}.png", *(str(int(other == name)) for other in names)])
        for name in names
        for i in range(8)
    ]
    table.write_text("\n".join([",".join(["image_path", *names]), *rows]))
    return table


def test_a_folder_of_splits_a_folder_of_classes_and_a_table_are_data_too(call, data, with_columns, tmp_path):
    columns = ["--data.csv-label-columns", "red,green,blue"]
    expected = ([data["train"].parent], {"train": 24, "val": 12}), ([data["train"]], {"train": 24})
    for words, counts in (*expected, ([with_columns, *columns], {"train": 24})):
        checked = call("check-data", *words, "--json")
        assert checked.status == 0, checked.err or checked.out
        assert {part["split"]: part["samples"] for part in json.loads(checked.out)["splits"]} == counts
        out = tmp_path / "picture.png"
        drawn = call("preview", *words, "--out", out, "--num-samples", 1, "--num-variants", 1)
        assert (drawn.status, out.exists()) == (0, True), drawn.err
        out.unlink()
    beside = call("check-data", data["train"], "--data.val", data["val"], "--json")
    assert [part["split"] for part in json.loads(beside.out)["splits"]] == ["train", "val"]
    without_options = call("check-data", with_columns)
    assert without_options.status == 2
    assert "has no column 'label'" in without_options.out


def test_a_preview_is_a_picture_of_the_asked_transforms(call, data_file, tmp_path):
    plain, flipped = tmp_path / "обзор 1.png", tmp_path / "2.png"
    words = ["preview", data_file, "--num-samples", 2, "--num-variants", 1, "--transform-args.image-size", "32,32"]
    words += ["--transform-args.color-jitter", "null", "--transform-args.random-crop", "null"]
    off = ["--transform-args.random-flip", "null"]
    done = call(*words, *off, "--out", plain)
    assert (done.status, json.loads(done.out)) == (0, {"path": str(plain)}), done.err
    assert call(*words, "--transform-args.random-flip.horizontal-prob", 1, "--out", flipped).status == 0
    one, other = Image.open(plain), Image.open(flipped)
    assert one.size == other.size
    assert one.tobytes() != other.tobytes()


def test_models_are_listed(call):
    assert "timm/resnet18" in call("list-models", "timm/resnet18*").out.splitlines()


def test_the_environment_is_told_with_what_is_missing_and_how_to_get_it(call, monkeypatch):
    from lightly_train.cli import info

    versions = {"torch": "9.9", "onnxruntime-gpu": "1.2"}

    def version(name):
        if name not in versions:
            raise info.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(info, "version", version)
    shown = call("info").out
    assert "torch             9.9" in shown
    assert "onnxruntime       1.2" in shown
    assert 'wandb             not installed; pip install "lightly-train[wandb]"' in shown
    found = json.loads(call("info", "--json").out)
    assert found["packages"]["wandb"] is None
    assert found["devices"][-1]["name"] == "cpu"
    assert found["processors"]["usable"] >= 1


@pytest.mark.parametrize(("out", "reason"), [("run", "a run lies there"), ("file", "is a file")])
def test_evaluate_refuses_a_place_for_its_figures_before_it_looks_at_the_model(call, tmp_path, out, reason):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "train.log").write_text("")
    (tmp_path / "file").write_text("")
    done = call("evaluate", "missing.pt", "missing.yaml", "--out", tmp_path / out)
    assert done.status == 2
    assert reason in done.err
    assert "missing" not in done.err


def test_evaluate_refuses_a_folder_that_nobody_can_write_to_before_it_looks_at_the_model(call, sealed_folder):
    done = call("evaluate", "missing.pt", "missing.yaml", "--out", sealed_folder / "figures")
    assert done.status == 2
    assert f"{sealed_folder}: cannot be written to" in done.err
    assert "missing" not in done.err


def test_evaluate_hands_over_what_was_typed_and_prints_the_metrics(call, tmp_path, monkeypatch):
    asked, written = [], []

    def evaluate(*places, **named):
        asked.append((*map(str, places), named))
        metrics = {"top1_acc_micro": 0.5, "f1": float("nan")}
        return types.SimpleNamespace(metrics=metrics, num_images=3, unreadable=(), write=written.append)

    monkeypatch.setattr(lightly_train, "evaluate", evaluate, raising=False)
    done = call("evaluate", "a b.pt", "d.yaml", "--split", "test", "--metric-args.f1", "null", "--out", tmp_path / "ü")
    assert done.status == 0, done.err
    counts = {"images": 3, "unreadable": []}
    assert json.loads(done.out) == {"top1_acc_micro": 0.5, "f1": None, **counts, "out": str(tmp_path / "ü")}
    assert written == [tmp_path / "ü"]
    settings = {"split": "test", "metric_args": {"f1": None}, "device": "auto"}
    settings |= {"batch_size": 16, "num_workers": "auto"}
    assert asked == [("a b.pt", "d.yaml", settings)]


@pytest.mark.parametrize("name", ["check-data", "preview", "evaluate", "calibrate"])
def test_help_shows_that_data_may_be_a_file_or_options(call, name):
    shown = " ".join(call(name, "--help").out.split())
    assert f"Usage: lightly-train {name} {'MODEL ' * (name in ('evaluate', 'calibrate'))}DATA " in shown
    assert "DATA, --data path|mapping" in shown
    assert " --data.train path|null Folder" in shown
    assert "DATA, --data.train" not in shown


@pytest.fixture
def with_a_broken_image(data, tmp_path):
    """Class folders of 102 images, of which one is none."""
    for name in data["classes"].values():
        (tmp_path / "many" / name).mkdir(parents=True)
        for i in range(34):
            shutil.copy(data["val"] / name / f"{i % 4}.png", tmp_path / "many" / name / f"{i}.png")
    (tmp_path / "many" / "red" / "7.png").write_bytes(b"no image")
    return tmp_path / "many"


@pytest.mark.parametrize("name", ["evaluate", "calibrate"])
def test_unreadable_images_are_named_and_end_in_exit_status_2(call, trained, data, with_a_broken_image, tmp_path, name):
    out = ["--out", tmp_path / "calibrated.pt"] if name == "calibrate" else []
    spoilt = call(name, trained.exported_best, with_a_broken_image, *out)
    found = json.loads(spoilt.out)
    broken = str(with_a_broken_image / "red" / "7.png")
    assert (spoilt.status, found["images"], [row["path"] for row in found["unreadable"]]) == (2, 101, [broken])
    assert "none of the image formats" in found["unreadable"][0]["error"]
    fine = call(name, trained.exported_best, data["val"], *out)
    assert (fine.status, json.loads(fine.out)["unreadable"]) == (0, [])
    assert json.loads(spoilt.out).keys() == json.loads(fine.out).keys()


@pytest.mark.parametrize(
    ("name", "group", "has", "lacks"),
    [
        ("train", "model_args", "--model-args.lr ", "--data.train "),
        ("train", "Model-Args", "--model-args.lr ", "--out "),
        ("evaluate", "options", "--batch-size ", "--data.train "),
        ("preview", "transform-args", "--transform-args.image-size ", "--seed "),
        ("check-data", "data", "--data.train ", "--json"),
    ],
)
def test_help_of_one_group_shows_that_alone(call, name, group, has, lacks):
    whole = call(name, "--help").out
    shown = call(name, "--help", group)
    assert (shown.status, shown.err) == (0, "")
    assert shown.out in whole
    assert has in shown.out
    assert lacks not in shown.out
    assert f"`lightly-train {name} --help " in whole
    unknown = call(name, "-h", "model_agrs")
    assert unknown.status == 2
    assert unknown.err.startswith("error: help has no group 'model_agrs'; it has ")
    assert {"options", "data"} <= {*unknown.err.strip().split("it has ")[1].split(", ")}


@pytest.mark.parametrize("module", ["lightly_train", "lightly_train.cli"])
def test_the_command_is_a_module_too(module):
    done = subprocess.run([sys.executable, "-m", module, "--help"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: lightly-train COMMAND")


def test_help_names_every_command_and_the_exit_statuses(call):
    shown = call("--help")
    assert shown.status == 0
    for name in (
        *("train", "predict", "evaluate", "calibrate", "export-onnx", "export-tensorrt", "check-data", "preview"),
        *("list-models", "info", "--install-completion", "--debug", "Exit status"),
    ):
        assert name in shown.out


@pytest.mark.parametrize("name", ["predict", "export-onnx", "export-tensorrt", "list-models", "info"])
def test_help_of_a_command_has_types_and_defaults(call, name):
    shown = call(name, "--help")
    assert shown.status == 0
    assert "lightly-train" in shown.out
    assert "--empty" not in shown.out
    if name == "predict":
        text = " ".join(shown.out.split())
        assert "--topk integer Number of classes of a multiclass model to give; changes nothing for a" in text
        assert "multilabel one. [default: 1]" in text
        assert "--threshold number|auto" in text
