from __future__ import annotations

import logging

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lt_data import ConfigError, DatasetError, build_index, load_data_config

COLUMNS = ("dog", "cat", "car")


@pytest.fixture
def root(make_folder):
    return make_folder("train", a=4).parent


def index_of(root, rows, task="multiclass", header="image_path,cat,note,dog,car", **more):
    """Index of a table whose rows are the cells of the columns after the image path."""
    lines = [header, *(f"train/a/{i}.png,{row}" for i, row in enumerate(rows))]
    (root / "train.csv").write_text("\n".join(lines))
    files = {"train_csv": root / "train.csv", "val_csv": root / "train.csv"}
    return build_index(load_data_config({**files, "csv_label_columns": COLUMNS, **more}), task)


def labels_of(index) -> list[list[int]]:
    return [index.train.labels_of(i).tolist() for i in range(len(index.train))]


def problems_of(root, rows, **more) -> dict[str, str]:
    with pytest.raises(DatasetError) as caught:
        index_of(root, rows, **more)
    return {problem.where.removeprefix(f"{root}/"): problem.what for problem in caught.value.problems}


ROWS = ["1,x,0,0", "0,x,1,0", "0,x,0,1"]


def test_classes_left_out_are_the_columns_in_the_order_in_which_they_are_listed(root):
    index = index_of(root, ROWS)
    assert index.classes.as_dict() == {0: "dog", 1: "cat", 2: "car"}
    assert labels_of(index) == [[1], [0], [2]]


def test_classes_that_are_given_keep_their_ids_and_order(root):
    index = index_of(root, ROWS, classes={7: "car", 3: "cat", 5: "dog"})
    assert index.classes.ids == (7, 3, 5)
    assert labels_of(index) == [[1], [2], [0]]


def test_columns_may_be_called_by_class_ids(root):
    more = {"csv_label_columns": ("3", "5"), "csv_label_type": "id", "classes": {3: "cat", 5: "dog"}}
    index = index_of(root, ["1,0", "0,1"], header="image_path,5,3", **more)
    assert labels_of(index) == [[1], [0]]


@pytest.mark.parametrize("one", ["1", "1.0", "true", "True", " TRUE "])
@pytest.mark.parametrize("zero", ["0", "0.0", "", "false", "False"])
def test_truth_may_be_written_in_all_the_usual_ways(root, one, zero):
    index = index_of(root, [row.replace("0", "z").replace("1", one).replace("z", zero) for row in ROWS])
    assert labels_of(index) == [[1], [0], [2]]


@pytest.mark.parametrize("cell", ["2", "yes", "0.5", "-1", "nan", "11"])
def test_any_other_cell_is_an_error_with_its_line_and_column(root, cell):
    found = problems_of(root, [*ROWS, f"0,x,{cell},1"])
    assert found == {"train.csv:5": f"column 'dog' holds {cell!r}, expected 0 or 1"}


def test_such_cells_of_one_column_are_one_problem_that_counts_them(root):
    found = problems_of(root, [*ROWS, *(f"0,x,{cell},1" for cell in ("0.9", "0.8", "0.7"))])
    rows = "3 such rows: train.csv:5, train.csv:6, train.csv:7"
    assert found == {"train.csv:5": f"column 'dog' holds '0.9', expected 0 or 1 ({rows})"}


def test_multiclass_rows_need_exactly_one(root):
    found = problems_of(root, [*ROWS[:2], "1,x,1,0", "0,x,0,0"])
    assert found["train.csv"].startswith("1 image has several labels: train.csv:4 (dog, cat); ")
    assert 'set classification_task to "multilabel"' in found["train.csv"]
    assert "0 of the label columns" in found["train.csv:5"]


def test_multilabel_rows_have_any_number_and_none_makes_a_negative(root, caplog):
    with caplog.at_level(logging.INFO):
        index = index_of(root, ["1,x,1,0", "0,x,0,0", "1,x,1,1"], task="multilabel")
    assert labels_of(index) == [[0, 1], [], [0, 1, 2]]
    assert "1 rows without a label" in caplog.text


def test_rows_whose_only_class_is_ignored_are_left_out(root, caplog):
    with caplog.at_level(logging.INFO):
        index = index_of(root, ROWS, ignore_classes=["cat"])
    assert (index.classes.as_dict(), labels_of(index)) == ({0: "dog", 2: "car"}, [[0], [1]])
    assert "1 rows left out" in caplog.text


def test_ignored_classes_need_no_column(root):
    index = index_of(root, ROWS, classes=["cat", "bird", "dog", "car"], ignore_classes=["bird"])
    assert labels_of(index) == [[0], [1], [2]]


def test_columns_that_are_no_class_and_classes_without_a_column_are_named(root):
    with pytest.raises(ConfigError) as caught:
        index_of(root, ROWS, classes=["dog", "cats", "car", "bird"])
    first, second = (problem.what for problem in caught.value.problems)
    assert first == "unknown class 'cat'; did you mean 'cats'?"
    assert second == "no column for class cats, bird"


def test_columns_that_are_missing_or_twice_are_named(root):
    with pytest.raises(DatasetError) as caught:
        index_of(root, ["1,0"], header="image_path,cta,car,car")
    whats = [problem.what for problem in caught.value.problems][:3]
    assert "did you mean 'cta'? list in data.csv_label_columns some of image_path, cta" in whats[1]
    assert [what.split(";")[0] for what in whats] == [
        "has no column 'dog'",
        "has no column 'cat'",
        "has 2 columns 'car'",
    ]


def test_a_row_that_is_too_short_is_an_error(root):
    assert problems_of(root, [*ROWS, "1"]) == {"train.csv:5": "has 2 columns, 5 are needed"}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.lists(st.sets(st.sampled_from(COLUMNS)), min_size=1, max_size=4))
def test_one_hot_columns_mean_the_same_as_a_column_of_names(root, rows):
    rows = [set(COLUMNS), *rows[:3]]
    one_hot = index_of(root, [f"{int('cat' in r)},x,{int('dog' in r)},{int('car' in r)}" for r in rows], "multilabel")
    more = {"csv_label_columns": None, "classes": list(COLUMNS)}
    by_name = index_of(root, [f'"{",".join(sorted(r))}"' for r in rows], "multilabel", "image_path,label", **more)
    assert one_hot.train.fingerprint() == by_name.train.fingerprint()
