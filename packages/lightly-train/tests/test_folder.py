from __future__ import annotations

import csv
import io
import json
import shutil

import pytest

import lightly_train
from lightly_train.errors import DatasetError, PredictionArgumentError
from lightly_train.progress import shown_progress


@pytest.fixture(scope="module")
def model(trained):
    return lightly_train.load_model(trained.exported_best, device="cpu")


@pytest.fixture
def folder(data, tmp_path):
    """All validation images, at two depths, and one that is none."""
    shutil.copytree(data["val"], tmp_path / "images")
    shutil.copy(data["val"] / "red" / "0.png", tmp_path / "images" / "loose.png")
    (tmp_path / "images" / "broken.jpg").write_bytes(b"no image")
    return tmp_path / "images"


def test_a_folder_gets_the_predictions_of_its_images_and_the_unreadable_ones_are_reported(model, folder, data):
    result = model.predict_folder(folder, topk=2, batch_size=5)
    assert (result.count, len(result.predictions)) == (13, 14)
    assert [row.path for row in result.unreadable] == ["broken.jpg"]
    for row in result.predictions:
        if row.error is None:
            alone = model.predict(folder / row.path, topk=2)
            assert list(row.labels) == alone["labels"].tolist()
            assert list(row.names) == [model.classes[label] for label in row.labels]
            assert list(row.scores) == pytest.approx(alone["scores"].tolist(), abs=1e-6)
    assert {row.path for row in result.predictions} == {
        path.relative_to(folder).as_posix() for path in folder.rglob("*.*")
    }


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_an_interrupted_table_is_gone_on_with_and_ends_like_one_that_was_not(model, folder, tmp_path, ending):
    whole, torn = tmp_path / f"whole.{ending}", tmp_path / f"torn.{ending}"
    model.predict_folder(folder, whole, batch_size=4)

    def stop(done: int, total: int) -> None:
        if done > 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.predict_folder(folder, torn, batch_size=4, progress=stop)
    result = model.predict_folder(folder, torn, batch_size=4, resume=True)
    assert (result.skipped, result.count, len(result.unreadable)) == (8, 6, 1)
    assert torn.read_text() == whole.read_text()
    with pytest.raises(PredictionArgumentError, match="remove it, or resume it"):
        model.predict_folder(folder, torn)


def test_tables_hold_the_users_class_ids_and_names(model, folder, tmp_path):
    model.predict_folder(folder / "green", tmp_path / "a.csv", progress=False)
    model.predict_folder(folder / "green", tmp_path / "a.jsonl", progress=False)
    with open(tmp_path / "a.csv", encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [(row["path"], row["labels"], row["names"]) for row in rows] == [
        (f"{i}.png", "7", "green") for i in range(4)
    ]
    assert [(line["path"], line["labels"], line["names"]) for line in lines] == [
        (f"{i}.png", [7], ["green"]) for i in range(4)
    ]


def test_a_folder_without_an_image_and_wrong_arguments_are_refused(model, tmp_path):
    with pytest.raises(DatasetError, match="no image"):
        model.predict_folder(tmp_path)
    with pytest.raises(PredictionArgumentError, match="topk"):
        model.predict_folder(tmp_path, topk=4)


def test_progress_is_silent_where_nobody_looks_and_can_be_asked_for(model, folder, capsys):
    model.predict_folder(folder)
    assert capsys.readouterr() == ("", "")
    model.predict_folder(folder, progress=True)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "predicting" in shown.err
    assert "14/14" in shown.err
    told = []
    model.predict_folder(folder, batch_size=5, progress=lambda *counts: told.append(counts))
    assert told == [(5, 14), (10, 14), (14, 14)]


def test_a_bar_is_drawn_on_a_terminal(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for kind, drawn in ((Terminal, True), (io.StringIO, False)):
        stream = kind()
        monkeypatch.setattr("sys.stderr", stream)
        monkeypatch.setenv("TERM", "xterm")
        with shown_progress("auto", "working") as tell:
            tell(3, 7)
        assert ("3/7" in stream.getvalue()) == drawn
