from __future__ import annotations

import csv
import io
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lt_data import (
    Classes,
    DatasetError,
    PredictionArgumentError,
    Preprocessing,
    TaskSpec,
    load_image,
    predict_folder,
)

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def task_spec(task: str = "multiclass") -> TaskSpec:
    classes = Classes((10, 20, 30), ("red", "green, light", "blue"))
    return TaskSpec(task=task, classes=classes, preprocessing=Preprocessing(image_size=(8, 8)))


def write(path: Path, color: tuple[int, int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (9, 7), color).save(path, format="PNG")


@pytest.fixture
def folder(tmp_path) -> Path:
    root = tmp_path / "images"
    write(root / "a.png", RED)
    write(root / "below" / "deep" / "b b.png", GREEN)
    write(root / "below" / "ü.jpg", BLUE)
    write(root / "z.png", RED)
    (root / "broken.jpg").write_bytes(b"\xff\xd8\xff no image")
    (root / "notes.txt").write_text("not an image")
    write(root / ".hidden.png", RED)
    return root


def test_a_file_in_place_of_the_folder_is_told_what_takes_it(folder):
    with pytest.raises(PredictionArgumentError, match=r"a\.png: is a file, not a folder; files go to predict$"):
        predict_folder(folder / "a.png", None, task_spec(), prepare=load_image, score=Model().score)
    with pytest.raises(PredictionArgumentError, match="expected a path, got ''"):
        predict_folder("", None, task_spec(), prepare=load_image, score=Model().score)


class Model:
    """Scores are the mean colour; counts what it was given."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def score(self, images) -> np.ndarray:
        self.batches.append(len(images))
        return np.stack([image.mean(axis=(0, 1)) / 255 for image in images]).astype(np.float32)


def run(folder, out=None, *, model=None, task="multiclass", model_digest="", **arguments):
    model = model or Model()
    given = {"prepare": load_image, "score": model.score, "model": model_digest, **arguments}
    return predict_folder(folder, out, task_spec(task), **given)


def test_every_image_below_a_folder_has_one_line_and_those_that_cannot_be_read_their_reason(folder):
    result = run(folder)
    assert [one.path for one in result.predictions] == [
        "a.png",
        "below/deep/b b.png",
        "below/ü.jpg",
        "broken.jpg",
        "z.png",
    ]
    assert [one.labels for one in result.predictions] == [(10,), (20,), (30,), (), (10,)]
    assert result.predictions[1].names == ("green, light",)
    assert result.predictions[1].scores == (1.0,)
    (unreadable,) = result.unreadable
    assert unreadable.path == "broken.jpg"
    assert unreadable.error.startswith("is none of the image formats JPEG")
    assert (result.count, result.skipped) == (4, 0)
    assert result.notes == (
        "passed over files that have no ending of an image, by ending: 1 x .txt",
        "passed over hidden files or folders, whose names begin with a dot: 1 (.hidden.png)",
    )


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_files_hold_what_is_returned_otherwise(folder, tmp_path, suffix):
    out = tmp_path / f"out{suffix}"
    expected = run(folder, topk=2).predictions
    result = run(folder, out, topk=2)
    assert result.predictions == ()
    assert result.count == 4
    if suffix == ".jsonl":
        rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
        found = [(row["path"], tuple(row["labels"]), tuple(row["names"]), tuple(row["scores"])) for row in rows]
        assert [row.get("error", "") != "" for row in rows] == [False, False, False, True, False]
    else:
        rows = list(csv.DictReader(io.StringIO(out.read_text(encoding="utf-8"))))
        found = [
            (
                row["path"],
                tuple(map(int, filter(None, row["labels"].split(";")))),
                tuple(filter(None, row["names"].split(";"))),
                tuple(map(float, filter(None, row["scores"].split(";")))),
            )
            for row in rows
        ]
        assert rows[3]["error"].startswith("is none of the image formats JPEG")
    assert found == [(one.path, one.labels, one.names, one.scores) for one in expected]


def test_multilabel_images_have_any_number_of_labels(folder):
    write(folder / "white.png", (255, 255, 255))
    write(folder / "black.png", (0, 0, 0))
    labels = {one.path: one.labels for one in run(folder, task="multilabel", threshold=0.5).predictions}
    assert labels["white.png"] == (10, 20, 30)
    assert labels["black.png"] == ()


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
@pytest.mark.parametrize("torn", [0, 1, 5, 30])
def test_an_interrupted_table_is_gone_on_with_and_ends_as_if_nothing_had_happened(folder, tmp_path, suffix, torn):
    whole, part = tmp_path / f"whole{suffix}", tmp_path / f"part{suffix}"
    run(folder, whole)
    content = whole.read_bytes()
    lines = content.split(b"\n")
    kept = b"\n".join(lines[:3]) + b"\n"
    part.write_bytes(kept + content[len(kept) : len(kept) + torn])
    part.with_name(f"{part.name}.json").write_bytes(whole.with_name(f"{whole.name}.json").read_bytes())
    done = part.read_bytes().count(b"\n") - (suffix == ".csv")
    model = Model()
    result = run(folder, part, model=model, resume=True)
    assert part.read_bytes() == content
    assert result.skipped == done
    assert sum(model.batches) == 4 - done, "the broken image is the fourth"


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_a_table_with_unicode_line_ends_in_paths_is_gone_on_with(folder, tmp_path, suffix):
    for mark in "\u2028\u2029\x85":
        write(folder / f"a{mark}b.png", RED)
    out = tmp_path / f"out{suffix}"
    run(folder, out)
    content = out.read_bytes()
    assert run(folder, out, resume=True).skipped == 8
    assert out.read_bytes() == content


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_resumed_table_tells_of_unreadable_images_of_the_calls_before_too(folder, tmp_path, suffix):
    out = tmp_path / f"out{suffix}"
    first = run(folder, out)
    again = run(folder, out, resume=True)
    assert (again.count, again.skipped) == (0, first.count + len(first.unreadable))
    assert again.unreadable == first.unreadable != ()
    (folder / first.unreadable[0].path).unlink()
    assert run(folder, out, resume=True).unreadable == ()


def test_an_existing_table_is_not_touched_without_being_asked(folder, tmp_path):
    (tmp_path / "out.csv").write_text("mine")
    with pytest.raises(PredictionArgumentError, match=r"out\.csv: is there already"):
        run(folder, tmp_path / "out.csv")
    (tmp_path / "out.csv").write_text("mine\nyours\n")
    with pytest.raises(PredictionArgumentError, match=r"cannot be resumed without out\.csv\.json"):
        run(folder, tmp_path / "out.csv", resume=True)
    assert (tmp_path / "out.csv").read_text() == "mine\nyours\n"


def test_a_list_in_place_of_a_folder_is_told_where_it_goes(folder):
    with pytest.raises(PredictionArgumentError, match="path of a folder, got list; predict_batch takes a list"):
        run([folder])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"topk": 4}, "topk"),
        ({"batch_size": 0}, "batch_size"),
        ({"num_workers": 0}, "num_workers"),
        ({"out": "x.xlsx"}, r"\.csv or \.jsonl"),
        ({"out": "no/such/x.csv"}, "no such folder"),
        ({"resume": True}, "name it as `out`"),
    ],
)
def test_wrong_arguments_are_refused_before_an_image_is_read(folder, arguments, message):
    model = Model()
    with pytest.raises(PredictionArgumentError, match=message):
        run(folder, model=model, **arguments)
    assert model.batches == []


def test_a_table_that_cannot_be_written_is_refused_before_an_image_is_read(folder, sealed_folder):
    model = Model()
    with pytest.raises(PredictionArgumentError, match=f"{sealed_folder}: cannot be written to"):
        run(folder, model=model, out=f"{sealed_folder}/x.csv")
    assert model.batches == []


def test_a_folder_without_images_is_an_error(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="no image below"):
        run(tmp_path / "empty")
    with pytest.raises(DatasetError, match="not a folder"):
        run(tmp_path / "nothing")


def test_batches_are_full_and_progress_ends_at_all(folder):
    for number in range(20):
        write(folder / "many" / f"{number}.png", GREEN)
    model, told = Model(), []
    run(folder, model=model, batch_size=8, num_workers=2, progress=lambda done, total: told.append((done, total)))
    assert model.batches == [7, 8, 8, 1], "one of the first eight is broken"
    assert told == [(8, 25), (16, 25), (24, 25), (25, 25)]


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names there are Unicode")
@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_a_name_that_is_no_unicode_is_written_and_recognised_again(folder, tmp_path, suffix):
    name = os.fsdecode(b"\xff\xfe.png")
    write(folder / name, BLUE)
    out = tmp_path / f"out{suffix}"
    run(folder, out)
    assert run(folder, out, resume=True).skipped == 6


def test_an_error_in_the_model_ends_the_call_and_leaves_whole_lines(folder, tmp_path):
    class Failing(Model):
        def score(self, images) -> np.ndarray:
            if self.batches:
                raise RuntimeError("the device is gone")
            return super().score(images)

    with pytest.raises(RuntimeError, match="device is gone"):
        run(folder, tmp_path / "out.jsonl", model=Failing(), batch_size=2)
    assert len((tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()) == 2


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"topk": 2}, "topk"),
        ({"threshold": 0.4}, "threshold"),
        ({"model_digest": "b"}, "model"),
        ({"task": "multilabel"}, "task"),
        ({}, "folder"),
    ],
)
def test_a_table_of_another_call_is_not_gone_on_with(folder, tmp_path, changed, name):
    out = tmp_path / "out.csv"
    run(folder, out, model_digest="a")
    before = out.read_bytes()
    place = folder if changed else folder / "below"
    with pytest.raises(PredictionArgumentError, match=f"was made with another {name}, by out.csv.json"):
        run(place, out, resume=True, **{"model_digest": "a", **changed})
    assert out.read_bytes() == before


def test_a_damaged_table_is_refused(folder, tmp_path):
    out = tmp_path / "out.csv"
    run(folder, out)
    out.write_text("mine\nyours\n")
    with pytest.raises(PredictionArgumentError, match="not a table"):
        run(folder, out, resume=True)
