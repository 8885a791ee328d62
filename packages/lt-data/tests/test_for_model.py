from __future__ import annotations

import pytest

from lt_data import (
    Classes,
    ConfigError,
    DatasetError,
    Decoding,
    Preprocessing,
    TaskSpec,
    build_index,
    index_for_model,
    load_data_config,
)

SPEC = Preprocessing(image_size=(8, 8))
TASK = TaskSpec(task="multiclass", classes=Classes((7, 2, 5), ("dog", "cat", "car")), preprocessing=SPEC)


@pytest.fixture
def root(make_folder):
    make_folder("train", cat=2, car=3, dog=1)
    make_folder("test", cat=1, dog=2)
    return make_folder("val", cat=2, car=1, dog=3).parent


def found(split) -> list[tuple[str, str]]:
    """Each file with the model's name of its class."""
    samples = split.samples
    paths = (samples.path(i) for i in range(len(samples)))
    return [
        (f"{path.parent.name}/{path.name}", TASK.classes.names[label])
        for path, label in zip(paths, samples.labels, strict=True)
    ]


def problems_of(data, task=TASK, **arguments) -> dict[str, str]:
    with pytest.raises((ConfigError, DatasetError)) as caught:
        index_for_model(data, task, **arguments)
    return {problem.where: problem.what for problem in caught.value.problems}


TEST_IMAGES = [("dog/0.png", "dog"), ("dog/1.png", "dog"), ("cat/0.png", "cat")]


def test_a_folder_of_class_folders_is_a_split_with_the_classes_of_the_model_in_their_order(root):
    assert found(index_for_model(root / "test", TASK)) == TEST_IMAGES


def test_every_way_to_say_where_a_split_is_gives_the_same_samples(root):
    rows = ["image_path,label", *(f"test/{name},{label}" for name, label in TEST_IMAGES)]
    (root / "test.csv").write_text("\n".join(rows))
    (root / "data.yaml").write_text("test: test\n")
    (root / "tables.yaml").write_text("train_csv: no.csv\nval_csv: no.csv\ntest_csv: test.csv\n")
    for data in (
        {"test": str(root / "test")},
        {"train": "not/there", "val": None, "test": root / "test"},
        {"test_csv": root / "test.csv", "classes": {2: "cat", 7: "dog", 5: "car"}},
        root / "test.csv",
        str(root / "data.yaml"),
        root / "tables.yaml",
    ):
        assert found(index_for_model(data, TASK, split="test")) == TEST_IMAGES


def test_of_a_folder_of_splits_the_one_that_is_asked_for_is_taken(root):
    assert found(index_for_model(root, TASK, split="test")) == TEST_IMAGES
    assert len(index_for_model(root, TASK).samples) == 6


def test_a_name_to_ignore_that_is_no_folder_is_warned_of(root, make_folder, caplog):
    make_folder("odd", cat=1, grey=2)
    assert found(index_for_model({"val": root / "odd", "ignore_classes": ["grey"]}, TASK)) == [("cat/0.png", "cat")]
    assert "ignore_classes" not in caplog.text
    index_for_model({"val": root / "val", "ignore_classes": ["grey"]}, TASK)
    assert f"ignore_classes: {root / 'val'} has no folder 'grey'" in caplog.text
    with pytest.raises(DatasetError):
        index_for_model({"val": root / "odd", "ignore_classes": ["gray"]}, TASK)
    assert "has no folder 'gray'; did you mean 'grey'?" in caplog.text


def test_a_folder_of_splits_is_not_taken_for_one_of_classes(root):
    what = f"its folders look like splits; did you mean data.val={root / 'val'}?"
    assert problems_of({"val": root}) == {"data.val": what}


def test_labels_by_id_are_those_of_the_model(root):
    (root / "ids.csv").write_text("image_path,label\ntest/cat/0.png,2\ntest/dog/0.png,7\n")
    split = index_for_model({"val_csv": root / "ids.csv", "csv_label_type": "id"}, TASK)
    assert split.samples.labels.tolist() == [1, 0]


def test_the_data_of_a_run_give_the_samples_of_that_run(root):
    for data in (
        {"train": root / "train", "val": root / "val", "classes": {7: "dog", 2: "cat", 5: "car"}},
        {"train": root / "train", "val": 0.34, "split_seed": 3},
        {"train": root / "train", "val": root / "val", "ignore_classes": [1]},
        {"train": root / "train", "val": root / "val", "ignore_classes": ["cat"], "on_bad_image": "error"},
    ):
        run = build_index(load_data_config(data))
        task = TaskSpec(task="multiclass", classes=run.classes, preprocessing=SPEC)
        for split in ("train", "val"):
            again = index_for_model(data, task, split=split)
            assert again.samples.fingerprint() == getattr(run, split).fingerprint()
            assert again.on_bad_image == data.get("on_bad_image", "skip")


def test_classes_that_the_data_lack_are_allowed_and_named(root, caplog):
    index_for_model(root / "test", TASK)
    assert "no image of car" in caplog.text


def test_classes_that_the_model_does_not_have_are_errors(root, make_folder):
    make_folder("other", cat=1, cats=1)
    what = problems_of(root / "other")[str(root / "other/cats")]
    assert what == "the model has no such class (did you mean `cat`?); `ignore_classes` leaves its images out"
    wrong = {2: "cat", 5: "dog", 7: "car", 8: "bird"}
    problems = problems_of({"val": root / "val", "classes": wrong})
    assert problems["data.classes[5]"].startswith("the model has 'dog' as class ID 7")
    assert problems["data.classes[7]"].startswith("the model has 'car' as class ID 5")
    assert problems["data.classes[8]"].startswith("the model has no such class")
    assert len(problems) == 3


@pytest.mark.parametrize("mark", [";", "|", ","])
def test_several_known_labels_in_one_cell_name_the_delimiter_and_not_a_near_class(root, mark):
    own = TaskSpec(task="multilabel", classes=TASK.classes, preprocessing=SPEC)
    rows = [f'test/cat/0.png,"cat{mark} dog"', f'test/dog/0.png,"cat{mark} dgo"']
    (root / "val.csv").write_text("\n".join(["image_path,label", *rows]))
    more = {"label_delimiter": "/" if mark == "," else ","}
    found = problems_of({"val_csv": root / "val.csv", **more}, own)
    hint = f"set data.label_delimiter to {mark!r} if that separates labels"
    assert found[f"{root / 'val.csv'}:2"] == f"unknown class 'cat{mark} dog'; {hint}"
    assert hint not in found[f"{root / 'val.csv'}:3"]


def test_folders_none_of_which_is_a_class_of_the_model_are_told_alone_if_images_are_in_them(root, make_folder):
    make_folder("more", bird=1, fish=0)
    assert set(problems_of(root / "more")) == {str(root / "more" / "bird"), str(root / "more" / "fish")}
    make_folder("empty", fish=0)
    assert "no image found" in problems_of(root / "empty")[str(root / "empty")]


def test_classes_that_the_data_have_beyond_the_model_can_be_left_out_but_none_of_its_own(root, make_folder):
    make_folder("more", cat=1, bird=2)
    assert found(index_for_model({"val": root / "more", "ignore_classes": ["bird"]}, TASK)) == [("cat/0.png", "cat")]
    given = {"val": root / "more", "classes": {2: "cat", 8: "bird"}}
    with pytest.raises(ConfigError, match="at least two classes"):
        index_for_model({**given, "ignore_classes": [8]}, TASK)
    given["classes"] |= {5: "car", 7: "dog"}
    assert found(index_for_model({**given, "ignore_classes": [8]}, TASK)) == [("cat/0.png", "cat")]
    for ignored in (["cat"], [2]):
        problems = problems_of({**given, "ignore_classes": [*ignored, 8]})
        assert "is a class of the model" in problems["data.ignore_classes"]
    problems = problems_of({"val": root / "more", "train": "no", "ignore_classes": [1]})
    assert "give names" in problems["data.ignore_classes"]


@pytest.mark.parametrize(
    ("data", "split", "where"),
    [
        ({"train": "train", "val": "val"}, "test", "data.test"),
        ({}, "val", "data.val"),
        ({"val": 0.5}, "val", "data.train"),
        ({"val": "val", "tset": "test"}, "val", "data.tset"),
        ({"val": "no/such/folder"}, "val", "data.val"),
        ("no/such/table.csv", "val", "data"),
        ("no/such/folder", "val", "data"),
        ({"val": "val"}, "validation", "split"),
        ({"val": "val", "val_csv": "val.csv"}, "val", "data.val_csv"),
    ],
)
def test_data_without_the_split_are_refused_with_what_is_missing(data, split, where):
    assert where in problems_of(data, split=split)


def test_multilabel_needs_a_table_and_takes_any_labels_of_the_model(root):
    task = TaskSpec(task="multilabel", classes=TASK.classes, preprocessing=SPEC)
    assert "val_csv" in problems_of(root / "test", task)["data"]
    (root / "val.csv").write_text('image_path,label\ntest/cat/0.png,"cat,dog"\ntest/dog/0.png,""\n')
    samples = index_for_model(root / "val.csv", task).samples
    assert [samples.labels_of(i).tolist() for i in range(2)] == [[0, 1], []]
    (root / "hot.csv").write_text("image_path,cat,dog\ntest/cat/0.png,1,1\n")
    hot = {"val_csv": root / "hot.csv", "csv_label_columns": ["cat", "dog"]}
    assert "no column for class car" in problems_of(hot, task)["data.csv_label_columns"]


def test_files_are_read_as_the_model_wants_them(root, caplog):
    own = Preprocessing(image_size=(8, 8), decoding=Decoding(dicom_window=(40.0, 400.0)))
    task = TaskSpec(task="multiclass", classes=TASK.classes, preprocessing=own)
    index_for_model(root / "val", task)
    assert "as for the model" not in caplog.text
    index_for_model({"val": root / "val", "dicom_window": "off"}, task)
    assert "as for the model" in caplog.text
