from __future__ import annotations

import hashlib
import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from lt_data import ConfigError, DataConfig, check, load_data_config


@pytest.fixture
def folders(tmp_path):
    """A sound data set of images that are all different."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 3), ("val", 2)):
        for name in ("cat", "dog"):
            (tmp_path / split / name).mkdir(parents=True)
            for i in range(count):
                write(tmp_path / split / name / f"{i}.png", rng.integers(0, 256, (40, 50, 3), dtype=np.uint8))
    return tmp_path


def write(path, pixels):
    Image.fromarray(np.asarray(pixels, dtype=np.uint8)).save(path)


def report_of(root, **more):
    return check({"train": root / "train", "val": root / "val", **more}, num_workers=2)


def split(report, name):
    return next(part for part in report.splits if part.split == name)


def test_a_sound_data_set_is_ok_and_its_figures_are_right(folders):
    report = report_of(folders)
    assert report.ok
    train = split(report, "train")
    assert (train.samples, train.counts, train.imbalance) == (6, {"cat": 3, "dog": 3}, 1.0)
    assert (train.sizes.different, train.sizes.width, train.sizes.height) == (1, (50, 50, 50), (40, 40, 40))
    assert "no problem found" in str(report)


def test_a_config_a_dict_and_a_yaml_file_are_understood(folders):
    data = {"train": str(folders / "train"), "val": str(folders / "val")}
    (folders / "data.yaml").write_text("train: train\nval: val\n")
    reports = [check(data), check(load_data_config(data)), check(folders / "data.yaml")]
    assert isinstance(load_data_config(data), DataConfig)
    assert all(report == reports[0] for report in reports)
    with pytest.raises(ConfigError, match="did you mean"):
        check({"trian": "x", "val": "y"})
    with pytest.raises(ConfigError, match="multilabel"):
        check(data, "multilabel")


def test_training_data_may_be_checked_alone(folders, caplog):
    table = folders / "train.csv"
    table.write_text(
        "image_path,label\n" + "".join(f"train/{name}/{i}.png,{name}\n" for name in ["cat", "dog"] for i in (0, 1))
    )
    (folders / "data.yaml").write_text("train: train\n")
    for data, count in (
        ({"train": folders / "train"}, 6),
        (folders / "data.yaml", 6),
        (folders / "train", 6),
        (table, 4),
    ):
        report = check(data)
        assert report.ok
        assert [(part.split, part.samples) for part in report.splits] == [("train", count)]
    assert "are the same" not in caplog.text
    assert check(folders) == check({"train": folders / "train", "val": folders / "val"})
    with pytest.raises(ConfigError, match="this key is required"):
        check({"val": folders / "val"})


def test_files_that_end_too_early_are_told_from_files_that_are_no_images(folders):
    whole = (folders / "train/cat/0.png").read_bytes()
    (folders / "train/cat/0.png").write_bytes(whole[: len(whole) // 2])
    (folders / "train/cat/1.png").write_bytes(b"<html>")
    (folders / "val/dog/0.png").write_bytes(b"")
    report = report_of(folders)
    train = split(report, "train")
    assert not report.ok
    assert [problem.where for problem in train.truncated] == [str(folders / "train/cat/0.png")]
    assert [problem.where for problem in train.unreadable] == [str(folders / "train/cat/1.png")]
    assert train.unreadable[0].what.startswith("is none of the image formats")
    assert train.samples == 6
    assert train.sizes.different == 1
    assert len(split(report, "val").unreadable) == 1


@pytest.mark.parametrize("ending", ["jpg", "png", "bmp", "ppm", "tif", "webp"])
def test_files_of_every_kind_cut_in_half_are_called_truncated(folders, ending):
    path = folders / "train" / "cat" / f"x.{ending}"
    write(path, np.random.default_rng(1).integers(0, 256, (40, 50, 3)))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert [problem.where for problem in split(report_of(folders), "train").truncated] == [str(path)]


def test_the_rest_of_the_data_is_looked_at_whatever_else_is_wrong(folders):
    (folders / "train" / "bird").mkdir()
    (folders / "val" / "cat" / "0.png").write_bytes(b"x")
    (folders / "val" / "cat" / "gone.png").symlink_to("nowhere.png")
    report = report_of(folders, classes=["cat", "dog"], test=folders / "nowhere")
    assert [problem.where for problem in report.problems] == ["data.test"]
    assert len(split(report, "train").problems) == len(split(report, "val").problems) == 1
    assert (split(report, "train").samples, len(split(report, "val").unreadable)) == (6, 1)


def test_rows_that_are_wrong_are_reported_and_the_others_checked(folders):
    rows = ["train/cat/0.png,cat", "train/cat/9.png,cat", "train/dog/0.png,dgo", "train/dog/1.png,dog"]
    (folders / "train.csv").write_text("\n".join(["image_path,label", *rows]))
    report = check({"train_csv": folders / "train.csv", "val": folders / "val", "classes": ["cat", "dog"]})
    train = split(report, "train")
    assert [problem.where for problem in train.problems] == [f"{folders / 'train.csv'}:{line}" for line in (3, 4)]
    assert train.counts == {"cat": 1, "dog": 1}
    assert "dgo" in str(report)


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_a_split_of_which_nothing_is_left_is_reported_and_not_divided(folders, task):
    (folders / "train.csv").write_text("image_path,label,case\nno.png,cat,1\n")
    data = {"train_csv": folders / "train.csv", "val": 0.5, "classes": ["cat", "dog"], "split_group_column": "case"}
    report = check(data, task)
    assert [part.samples for part in report.splits] == [0, 0]
    assert [len(part.problems) for part in report.splits] == [1, 0]
    assert split(report, "train").sizes is None
    assert str(report)


def test_thousands_of_wrong_rows_are_counted_not_listed(folders):
    rows = ["train/cat/0.png,cat", "train/dog/0.png,dog", *(f"no/{i}.png,cat" for i in range(3000))]
    (folders / "train.csv").write_text("\n".join(["image_path,label", *rows, "train/cat/1.png,cat"]))
    report = check({"train_csv": folders / "train.csv", "val": folders / "val", "classes": ["cat", "dog"]})
    train = split(report, "train")
    assert (train.samples, len(train.problems)) == (3, 1001)
    assert train.problems[-1].what == "has 2000 more problems, which are not listed"
    assert str(report).startswith("data check (multiclass): 3000 problems")
    assert "train: problems (3000)\n" in str(report)
    assert "\n  and 2990 more\n" in str(report)


def test_data_that_cannot_be_read_at_all_are_a_report_too(tmp_path):
    report = check({"train": tmp_path / "no", "val": tmp_path / "no"})
    assert not report.ok
    assert [problem.where for problem in report.problems] == ["data.train", "data.val"]
    (tmp_path / "train.csv").write_bytes(b"\xff\xfe\x00")
    report = check({"train_csv": tmp_path / "train.csv", "val": tmp_path})
    assert "train.csv" in report.problems[0].where
    assert str(report)


def test_files_that_are_twice_in_a_split_are_found_and_different_labels_flagged(folders):
    shutil.copy(folders / "train/cat/0.png", folders / "train/cat/copy.png")
    shutil.copy(folders / "train/cat/1.png", folders / "train/dog/copy.png")
    report = report_of(folders)
    same, different = split(report, "train").duplicates
    assert same.files == {"train": (str(folders / "train/cat/0.png"), str(folders / "train/cat/copy.png"))}
    assert (same.conflicting, different.conflicting) == (False, True)
    assert report.leaks == ()


def test_copies_with_different_labels_are_a_problem_and_those_with_the_same_label_are_none(folders):
    for i in range(12):
        write(folders / f"train/cat/a{i}.png", np.full((40, 50, 3), i))
        shutil.copy(folders / f"train/cat/a{i}.png", folders / f"train/cat/b{i}.png")
    assert report_of(folders).ok
    shutil.copy(folders / "train/dog/1.png", folders / "train/cat/z.png")
    report = report_of(folders)
    assert not report.ok
    assert json.loads(report.to_json())["ok"] is False
    assert str(report).startswith("data check (multiclass): 1 image with different labels\n")
    assert "train: files more than once (13)\n  different labels: train: " in str(report)


def test_files_in_more_than_one_split_are_leaks(folders):
    shutil.copy(folders / "train/cat/0.png", folders / "val/cat/other_name.png")
    shutil.copy(folders / "train/cat/1.png", folders / "val/dog/other_name.png")
    report = report_of(folders)
    assert not report.ok
    assert [leak.conflicting for leak in report.leaks] == [False, True]
    assert report.leaks[0].files["val"] == (str(folders / "val/cat/other_name.png"),)
    assert "Files in more than one split (2)" in str(report)


def test_an_image_of_the_test_split_that_is_in_another_split_too_is_a_leak(folders):
    (folders / "test/cat").mkdir(parents=True)
    for split, name in (("train", "a.png"), ("val", "b.png")):
        source = sorted((folders / split / "cat").iterdir())[0]
        (folders / "test/cat" / name).write_bytes(source.read_bytes())
    report = check({"train": folders / "train", "val": folders / "val", "test": folders / "test"})
    leaked = {names for leak in report.leaks for names in leak.files.get("test", ())}
    assert leaked == {str(folders / "test/cat/a.png"), str(folders / "test/cat/b.png")}
    assert report.splits[2].counts["cat"] == 2


def test_a_share_of_the_training_samples_is_checked_for_leaks_as_well(folders):
    for i in range(10):
        shutil.copy(folders / "train/cat/0.png", folders / f"train/cat/copy{i}.png")
    report = report_of(folders, val=0.5)
    assert [part.split for part in report.splits] == ["train", "val"]
    assert len(report.leaks) == 1


def test_odd_shapes_are_listed(folders):
    write(folders / "train/cat/long.png", np.zeros((40, 201, 3)))
    write(folders / "train/cat/limit.png", np.zeros((40, 200, 3)))
    write(folders / "train/dog/small.png", np.zeros((31, 60, 3)))
    train = split(report_of(folders), "train")
    assert [(image.path, image.width, image.height) for image in train.elongated] == [
        (str(folders / "train/cat/long.png"), 201, 40)
    ]
    assert [image.path for image in train.small] == [str(folders / "train/dog/small.png")]
    assert (train.sizes.different, train.sizes.width, train.sizes.height) == (4, (50, 50, 201), (31, 40, 40))


def test_imbalance_and_empty_classes_are_given(folders):
    (folders / "train/dog/0.png").unlink()
    (folders / "train/dog/1.png").unlink()
    shutil.rmtree(folders / "val/dog")
    report = report_of(folders)
    assert split(report, "train").imbalance == 3.0
    assert split(report, "val").empty_classes == ("dog",)


def test_the_users_files_are_never_changed(folders):
    (folders / "train/cat/0.png").write_bytes(b"broken")

    def state():
        return {
            str(path): (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).digest() if path.is_file() else b"")
            for path in folders.rglob("*")
        }

    before = state()
    report = report_of(folders)
    assert report.to_json()
    assert str(report)
    assert state() == before


def test_the_report_is_json_and_holds_everything(folders):
    (folders / "train/cat/0.png").write_bytes(b"broken")
    report = report_of(folders)
    content = json.loads(report.to_json())
    assert content["ok"] is False
    assert content["splits"][0]["unreadable"][0]["where"] == str(folders / "train/cat/0.png")
    assert content["splits"][0]["counts"] == {"cat": 3, "dog": 3}


def test_the_table_fits_100_columns_and_counts_what_it_does_not_show(folders):
    deep = folders / "train" / "cat" / ("a very long name " * 10)
    deep.mkdir()
    for i in range(25):
        (deep / f"{i:02}\n\t\x1b[31m.png").write_bytes(b"")
    report = report_of(folders)
    lines = str(report).splitlines()
    assert max(map(len, lines)) <= 100
    assert "train: unreadable files (25)" in lines
    assert "  and 15 more" in lines
    assert str(report).isascii()
    assert "\x1b" not in str(report)


def test_names_that_are_not_unicode_can_be_printed_and_stored(folders):
    name = os.fsencode(folders / "train" / "cat") + b"/\xff.png"
    try:
        with open(name, "wb"):
            pass
    except OSError:
        pytest.skip("this file system takes Unicode names only")
    report = report_of(folders)
    assert str(report).encode()
    assert json.loads(report.to_json())["splits"][0]["unreadable"][0]["where"] == os.fsdecode(name)


def test_progress_is_told_up_to_the_end(folders):
    told = []
    check({"train": folders / "train", "val": folders / "val"}, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (10, 10)
    assert told == sorted(told)


def test_the_number_of_threads_makes_no_difference(folders):
    for i in range(100):
        write(folders / f"train/cat/x{i}.png", np.full((33, 33 + i % 7, 3), i % 5))
    data = {"train": folders / "train", "val": folders / "val"}
    assert check(data, num_workers=1) == check(data, num_workers=4)


def test_an_image_that_only_fits_other_channels_is_unreadable_unless_they_are_asked_for(folders):
    report = check({"train": folders / "train", "val": folders / "val"}, num_channels=7)
    assert len(split(report, "train").unreadable) == 6


def test_multilabel_samples_are_counted_by_label(folders):
    rows = ['train/cat/0.png,"cat,dog"', "train/cat/1.png,", "train/cat/2.png,dog"]
    (folders / "train.csv").write_text("\n".join(["image_path,label", *rows]))
    files = {"train_csv": folders / "train.csv", "val_csv": folders / "train.csv"}
    report = check({**files, "classes": ["cat", "dog"]}, "multilabel")
    train = split(report, "train")
    assert (train.samples, train.counts, train.imbalance) == (3, {"cat": 1, "dog": 2}, 2.0)
    assert len(report.leaks) == 3


def test_the_heading_counts_what_is_wrong_by_kind(folders):
    def heading(**more):
        return str(report_of(folders, **more)).split("\n\n")[0]

    assert heading() == "data check (multiclass): no problem found"
    shutil.copy(folders / "train/cat/0.png", folders / "train/cat/copy.png")
    assert heading() == "data check (multiclass): no problem found"
    (folders / "train/dog/0.png").write_bytes(b"x")
    assert heading() == "data check (multiclass): 1 unreadable file"
    (folders / "val/dog/0.png").write_bytes(b"x")
    assert heading() == "data check (multiclass): 2 unreadable files"
    (folders / "val/bird").mkdir()
    assert heading() == "data check (multiclass): 1 problem, 2 unreadable files"
    whole = (folders / "train/cat/1.png").read_bytes()
    (folders / "train/cat/1.png").write_bytes(whole[: len(whole) // 2])
    shutil.copy(folders / "train/dog/1.png", folders / "val/dog/1.png")
    shutil.copy(folders / "train/dog/2.png", folders / "train/cat/4.png")
    shutil.copy(folders / "val/cat/1.png", folders / "val/dog/4.png")
    every = "2 problems, 1 truncated file, 2 unreadable files, 2 images with different labels"
    assert " ".join(heading(test=folders / "no").split()).endswith(f"{every}, 1 file in more than one split")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything, Windows has no modes")
def test_files_that_may_not_be_read_are_named(folders):
    (folders / "train/cat/0.png").chmod(0)
    assert "Permission denied" in split(report_of(folders), "train").unreadable[0].what


def test_what_was_passed_over_is_in_the_report_and_its_table(folders):
    (folders / "train/cat/notes.txt").write_text("x")
    (folders / "train/cat/animation.gif").write_bytes(b"GIF89a")
    report = report_of(folders)
    (note,) = split(report, "train").notes
    assert "1 x .txt" in note
    assert "1 x .gif" in note
    assert "1 x .gif" in str(report)
    assert "1 x .gif" in report.to_json()


def test_an_unknown_task_is_refused(folders):
    with pytest.raises(ConfigError, match="'multiclass' or 'multilabel', got 'multi'"):
        check({"train": folders / "train", "val": folders / "val"}, "multi")
