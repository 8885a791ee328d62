from __future__ import annotations

import logging

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lt_data import ConfigError, DatasetError, build_index, load_data_config

CLASSES = {0: "cat", 1: "car", 2: "dog"}


@pytest.fixture
def root(make_folder):
    return make_folder("train", cat=2, car=1, dog=1).parent


def index_of(root, content, task="multiclass", **more):
    """Index of a CSV file with `content` for training, and with one row a class for validation."""
    data = content if isinstance(content, bytes) else content.encode()
    (root / "train.csv").write_bytes(data)
    (root / "val.csv").write_text("image_path,label\ntrain/cat/0.png,cat\ntrain/car/0.png,car\ntrain/dog/0.png,dog\n")
    options = {"classes": CLASSES, **more}
    val = {"val": root / "train"} if {"csv_image_column", "csv_label_type", "label_delimiter"} & set(more) else {}
    if task == "multilabel" and val:
        val = {"val_csv": root / "train.csv"}
    config = load_data_config({"train_csv": root / "train.csv", **(val or {"val_csv": root / "val.csv"}), **options})
    return build_index(config, task)


def rows_of(index) -> list[tuple[str, list[int]]]:
    samples = index.train
    paths = [samples.path(i).relative_to(samples.root).as_posix() for i in range(len(samples))]
    return [(path, samples.labels_of(i).tolist()) for i, path in enumerate(paths)]


def problems_of(root, content, **more) -> dict[str, str]:
    with pytest.raises(DatasetError) as caught:
        index_of(root, content, **more)
    return {problem.where.removeprefix(f"{root}/"): problem.what for problem in caught.value.problems}


ROWS = "train/cat/0.png,cat\ntrain/cat/1.png,cat\ntrain/car/0.png,car\ntrain/dog/0.png,dog\n"
EXPECTED = [("train/cat/0.png", [0]), ("train/cat/1.png", [0]), ("train/car/0.png", [1]), ("train/dog/0.png", [2])]


def test_the_csv_of_the_reference_page_is_understood(root):
    assert rows_of(index_of(root, "image_path,label\n" + ROWS)) == EXPECTED


def test_a_csv_without_header_whose_first_row_is_an_image_and_a_label_is_understood(root):
    content = 'train/cat/0.png,"0"\ntrain/cat/1.png,"0"\ntrain/car/0.png,"1"\ntrain/dog/0.png,"2"\n'
    assert rows_of(index_of(root, content, csv_label_type="id")) == EXPECTED


def test_several_labels_are_separated_by_the_delimiter(root):
    content = 'image_path,label\ntrain/cat/0.png,"dog, cat"\ntrain/car/0.png,car\n'
    index = index_of(root, content, task="multilabel")
    assert rows_of(index) == [("train/cat/0.png", [0, 2]), ("train/car/0.png", [1])]
    content = "image_path,label\ntrain/cat/0.png,dog|cat\ntrain/car/0.png,car\n"
    index = index_of(root, content, task="multilabel", label_delimiter="|")
    assert rows_of(index) == [("train/cat/0.png", [0, 2]), ("train/car/0.png", [1])]


def test_multilabel_images_without_a_label_are_kept_as_negatives(root, caplog):
    content = "image_path,label\ntrain/cat/0.png,\ntrain/car/0.png,car\ntrain/dog/0.png,dog\ntrain/cat/1.png,cat\n"
    with caplog.at_level(logging.INFO):
        index = index_of(root, content, task="multilabel")
    assert rows_of(index)[0] == ("train/cat/0.png", [])
    assert "1 rows without a label, kept as negatives" in caplog.text


def test_multiclass_rows_without_or_with_two_labels_are_errors_with_their_line(root):
    content = 'image_path,label\ntrain/cat/0.png,\ntrain/cat/1.png,"cat,dog"\n'
    found = problems_of(root, content)
    assert "empty" in found["train.csv:2"]
    assert "2 labels" in found["train.csv:3"]


def test_unknown_labels_and_missing_images_are_all_named_with_file_and_line(root):
    content = 'image_path,label\ntrain/cat/0.png,kat\ntrain/cat/9.png,cat\n"train/cat/1.png",0\nshort\n,cat\n'
    found = problems_of(root, content)
    assert "did you mean 'cat'?" in found["train.csv:2"]
    assert "train/cat/9.png' is not a file" in found["train.csv:3"]
    assert 'set csv_label_type to "id"' in found["train.csv:4"]
    assert "1 columns" in found["train.csv:5"]
    assert "empty" in found["train.csv:6"]


def test_lines_are_counted_as_an_editor_counts_them(root):
    content = 'image_path,note,label\ntrain/cat/0.png,"two\nlines",cat\n\ntrain/cat/1.png,x,kat\n'
    assert set(problems_of(root, content)) == {"train.csv:5"}


def test_other_columns_may_be_named(root):
    content = "id,file,kind\n1,train/cat/0.png,cat\n2,train/car/0.png,car\n3,train/dog/0.png,dog\n"
    index = index_of(root, content, csv_image_column="file", csv_label_column="kind")
    assert [labels for _, labels in rows_of(index)] == [[0], [1], [2]]


def test_missing_and_doubled_columns_are_named_with_what_there_is(root):
    found = problems_of(root, "image_paht,class,extra\n" + ROWS)
    assert "image_paht" in found["train.csv:1"]
    found = problems_of(root, "image_path,label,label\n" + ROWS)
    assert "2 columns 'label'" in found["train.csv:1"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_encodings_with_and_without_a_byte_order_mark_and_both_line_ends_are_understood(root, encoding, newline):
    (root / "train" / "cat" / "0.png").rename(root / "train" / "cat" / "käse 猫.png")
    content = "image_path,label\n" + ROWS.replace("cat/0.png", "cat/käse 猫.png")
    (root / "val.csv").write_text("x")
    data = content.replace("\n", newline).encode(encoding)
    (root / "train.csv").write_bytes(data)
    config = load_data_config({"train_csv": root / "train.csv", "val": root / "train", "classes": CLASSES})
    assert rows_of(build_index(config))[0] == ("train/cat/käse 猫.png", [0])


def test_another_encoding_is_an_error_that_says_how_to_set_it(root):
    content = "image_path,label\n" + ROWS + "train/cat/ä.png,cat\n"
    assert "data.encoding" in problems_of(root, content.encode("cp1252"))["train.csv"]
    found = problems_of(root, content.encode("cp1252"), encoding="cp1252")
    assert "ä.png' is not a file" in found["train.csv:6"]
    with pytest.raises(ConfigError, match="klingon"):
        index_of(root, content, encoding="klingon")


def test_ignored_labels_leave_their_rows_out_and_are_counted(root, caplog):
    with caplog.at_level(logging.INFO):
        index = index_of(root, "image_path,label\n" + ROWS, ignore_classes=[0])
    assert rows_of(index) == [("train/car/0.png", [0]), ("train/dog/0.png", [1])]
    assert "2 rows left out" in caplog.text


def test_absolute_paths_are_allowed_and_counted_but_relative_ones_stay_inside(root, caplog):
    content = "image_path,label\n" + ROWS.replace("train/cat/0.png", str(root / "train/cat/0.png"))
    with caplog.at_level(logging.INFO):
        index = index_of(root, content)
    assert index.train.path(0) == root / "train/cat/0.png"
    assert "1 rows with absolute paths" in caplog.text
    outside = root.parent / "outside.png"
    outside.write_bytes((root / "train/cat/0.png").read_bytes())
    assert "leaves the folder" in problems_of(root, "image_path,label\n../outside.png,cat\n")["train.csv:2"]
    assert "leaves the folder" in problems_of(root, "image_path,label\ntrain/../../outside.png,cat\n")["train.csv:2"]


def test_classes_left_out_come_from_the_labels_of_the_training_file(root):
    index = index_of(root, "image_path,label\n" + ROWS, classes=None)
    assert index.classes.as_dict() == {0: "car", 1: "cat", 2: "dog"}
    with pytest.raises(ConfigError, match="IDs have no names"):
        index_of(root, "image_path,label\n" + ROWS, classes=None, csv_label_type="id")


def test_a_class_without_a_training_row_is_an_error(root):
    assert "'dog'" in problems_of(root, "image_path,label\ntrain/cat/0.png,cat\ntrain/car/0.png,car\n")["train.csv"]


def test_multilabel_needs_csv_files(make_folder):
    train = make_folder("train", cat=1, dog=1)
    with pytest.raises(ConfigError, match="train_csv"):
        build_index(load_data_config({"train": train, "val": train}), "multilabel")


@pytest.mark.parametrize("content", ["", "\n\n", "image_path,label\n", 'image_path,label\n"train/cat/0.png,cat\n'])
def test_files_without_rows_or_with_open_quotes_are_errors(root, content):
    assert problems_of(root, content)


def test_a_missing_file_is_named(root):
    config = load_data_config({"train_csv": root / "no.csv", "val": root / "train", "classes": CLASSES})
    with pytest.raises(DatasetError, match=r"data\.train_csv.*no\.csv"):
        build_index(config)


cells = st.text(alphabet='ab,"\n\r\0;cat/.png é', max_size=12)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(rows=st.lists(st.lists(cells, max_size=3), max_size=5), raw=st.none() | st.binary(max_size=60))
def test_any_file_gives_an_index_or_a_dataset_error(root, rows, raw):
    # By hand, since csv.writer refuses NUL before Python 3.11.
    lines = [",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows]
    content = raw if raw is not None else "\n".join(["image_path,label", *lines]).encode()
    try:
        assert len(index_of(root, content).train) > 0
    except DatasetError as error:
        assert error.problems
