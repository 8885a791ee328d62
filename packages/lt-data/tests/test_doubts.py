from __future__ import annotations

import logging

import pytest

from lt_data import DatasetError, build_index, check, load_data_config


@pytest.fixture
def table(make_folder):
    """Write a table of two rows a label, one for those named in `single`; give what `data` takes."""
    root = make_folder("images", a=9, b=9).parent
    paths = [f"images/{name}/{i}.png" for name in "ab" for i in range(9)]

    def make(*labels, single=()):
        cells = [label for label in labels for _ in range(1 if label in single else 2)]
        rows = [f'{path},"{cell}"' for path, cell in zip(paths, cells, strict=False)]
        (root / "train.csv").write_text("\n".join(["image_path,label", *rows]), encoding="utf-8")
        return {"train_csv": root / "train.csv", "val_csv": root / "train.csv"}

    return make


def warnings_of(caplog, data, task="multiclass", **more):
    caplog.clear()
    index = build_index(load_data_config({**data, **more}), task)
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    return index, [line for line in lines if line.startswith("train:")]


@pytest.mark.parametrize(
    ("one", "other"),
    [("dog", "Dog"), ("dog", "d og"), ("dog", "d\u200bog"), ("dog", "\uff44og"), ("stra\u00dfe", "STRASSE")],
)
def test_labels_that_differ_in_case_blanks_or_unicode_form_only_are_named_in_one_warning(table, caplog, one, other):
    index, (warning,) = warnings_of(caplog, table("cat", one, other))
    assert set(index.classes.names) == {"cat", one, other}
    assert repr(one) in warning
    assert repr(other) in warning
    assert "cat" not in warning
    assert "mend the table, or give `classes`" in warning


def test_forms_of_one_letter_that_look_the_same_are_shown_by_their_codes(table, caplog):
    _, (warning,) = warnings_of(caplog, table("caf\u00e9", "cafe\u0301", "tea"))
    assert r"'cafe\u0301' and 'caf\xe9'" in warning


def test_labels_that_pandas_wrote_as_floats_are_told_so(table, caplog):
    index, (warning,) = warnings_of(caplog, table("0.0", "1.0", "12."))
    assert index.classes.names == ("0.0", "1.0", "12.")
    assert "whole numbers written as floats: 0.0, 1.0, 12." in warning
    assert ".astype('Int64') mends it" in warning
    assert warnings_of(caplog, table("0.0", "1.0", "1.5"))[1] == []


def test_folders_that_look_alike_are_named_too(make_folder, caplog):
    data = {"train": make_folder("train", hotdog=2, cat=2, **{"hot dog": 2}), "val": make_folder("val", cat=1)}
    _, (warning,) = warnings_of(caplog, data)
    assert "'hot dog' and 'hotdog'; mend the folders" in warning


def test_a_class_of_one_sample_is_named_as_perhaps_mistyped(table, caplog):
    _, (warning,) = warnings_of(caplog, table("cat", "dog", "dgo", single=["dgo"]))
    assert warning.startswith("train: 1 class has one sample: 'dgo'; where that is a mistyped name")


def test_of_many_doubtful_classes_some_are_named_and_the_others_counted(table, caplog):
    labels = [f"class {i}" for i in range(8)]
    _, (warning,) = warnings_of(caplog, table(*labels, single=labels))
    assert "8 classes have one sample each: 'class 0', 'class 1', " in warning
    assert "'class 4' and 3 more;" in warning
    assert "class 5" not in warning


def test_the_count_is_that_before_a_share_is_split_off(table, caplog):
    data = {"train_csv": table("cat", "dog")["train_csv"], "val": 0.5}
    index, warnings = warnings_of(caplog, data)
    assert (len(index.train), len(index.val)) == (2, 2)
    assert warnings == []


@pytest.mark.parametrize("mark", [";", "|"])
def test_several_labels_taken_for_one_name_are_suspected(table, caplog, mark):
    data = table("cat", "dog", f"cat{mark}dog")
    _, (warning,) = warnings_of(caplog, data)
    assert f"'cat{mark}dog'; set data.label_delimiter to '{mark}', and the task to multilabel," in warning
    _, (warning,) = warnings_of(caplog, data, "multilabel")
    assert f"set data.label_delimiter to '{mark}' if that separates labels" in warning
    index, warnings = warnings_of(caplog, data, "multilabel", label_delimiter=mark)
    assert (index.classes.names, warnings) == (("cat", "dog"), [])


def test_a_delimiter_that_was_chosen_is_not_doubted(table, caplog):
    assert warnings_of(caplog, table("salt;pepper", "dog"), label_delimiter="/")[1] == []


def test_classes_that_are_given_are_not_doubted(table, caplog):
    data = table("dog", "Dog", "a;b", single=["Dog"])
    assert warnings_of(caplog, data, classes=["dog", "Dog", "a;b"])[1] == []
    with pytest.raises(DatasetError, match="did you mean 'dog'"):
        warnings_of(caplog, data, classes=["dog", "a;b"])


def test_ignored_classes_are_not_doubted(table, caplog):
    data = table("cat", "dog", "Dog", single=["Dog"])
    assert warnings_of(caplog, data, ignore_classes=["Dog"])[1] == []


def test_sound_names_give_no_warning(table, caplog):
    assert warnings_of(caplog, table("dog", "dot", "hot dog", "1", "11"))[1] == []


def test_the_data_check_notes_what_is_doubtful(table):
    report = check(table("cat", "dog", "Dog", "a;b", single=["Dog"]))
    notes = "\n".join(report.splits[0].notes)
    assert "'Dog' and 'dog'" in notes
    assert "1 class has one sample: 'Dog'" in notes
    assert "'a;b'" in notes
    assert report.splits[1].notes == ()
    assert "train: notes (3)" in str(report)


def test_rows_that_are_wrong_do_not_make_a_class_one_of_a_single_sample(table):
    data = table("cat", "dog")
    content = data["train_csv"].read_text().splitlines()
    data["train_csv"].write_text("\n".join([*content[:-1], "gone.png,dog"]))
    report = check(data)
    assert report.splits[0].counts == {"cat": 2, "dog": 1}
    assert report.splits[0].notes == ()
