from __future__ import annotations

import logging
import re
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lt_data import DatasetError, build_index, load_data_config

pa = pytest.importorskip("pyarrow", reason="lt-data[parquet] is not installed")
pq = pytest.importorskip("pyarrow.parquet", reason="lt-data[parquet] is not installed")

CLASSES = {0: "cat", 1: "car", 2: "dog"}
PATHS = ["train/cat/0.png", "train/cat/1.png", "train/car/0.png", "train/dog/0.png"]
LABELS = ["cat", "cat", "car", "dog"]
PLACE = r"\S*t\.(csv:\d+|parquet: row \d+)"
"""How messages call a row of either form."""


@pytest.fixture
def root(make_folder):
    return make_folder("train", cat=2, car=1, dog=1).parent


def index_of(root, columns, task="multiclass", name="train.parquet", **more):
    pq.write_table(pa.table(columns), root / name)
    files = {"train_csv": root / name, "val_csv": root / name}
    return build_index(load_data_config({**files, "classes": CLASSES, **more}), task)


def labels_of(samples) -> list[list[int]]:
    return [samples.labels_of(i).tolist() for i in range(len(samples))]


def problems_of(root, columns, **more) -> dict[str, str]:
    with pytest.raises(DatasetError) as caught:
        index_of(root, columns, **more)
    return {problem.where.removeprefix(f"{root}/"): problem.what for problem in caught.value.problems}


@pytest.mark.parametrize("name", ["train.parquet", "train.pq", "train.PARQUET"])
def test_a_parquet_file_has_the_columns_of_a_csv_file(root, name):
    index = index_of(root, {"image_path": PATHS, "note": [1.5] * 4, "label": LABELS}, name=name)
    assert [index.train.path(i) for i in range(4)] == [root / path for path in PATHS]
    assert labels_of(index.train) == [[0], [0], [1], [2]]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_text_may_be_stored_in_any_of_the_ways_that_tables_store_text(root, kind):
    index = index_of(root, {"image_path": pa.array(PATHS, kind), "label": pa.array(LABELS, kind)})
    assert labels_of(index.train) == [[0], [0], [1], [2]]


@pytest.mark.parametrize("kind", [pa.int8(), pa.uint16(), pa.int64()])
def test_labels_may_be_integers(root, kind):
    index = index_of(root, {"image_path": PATHS, "label": pa.array([0, 0, 1, 2], kind)}, csv_label_type="id")
    assert labels_of(index.train) == [[0], [0], [1], [2]]


@pytest.mark.parametrize("lists", [[["dog", "cat"], [], None, ["car"]], [[2, 0], [], None, [1]]])
def test_labels_may_be_lists_and_nulls_are_empty(root, lists, caplog):
    by_id = {"csv_label_type": "id"} if lists[0][0] == 2 else {}
    with caplog.at_level(logging.INFO):
        index = index_of(root, {"image_path": PATHS, "label": lists}, "multilabel", **by_id)
    assert labels_of(index.train) == [[0, 2], [], [], [1]]
    assert "2 rows without a label" in caplog.text


def test_labels_in_a_list_are_not_split_at_the_delimiter(root):
    lists = [["a,b"], ["c"], ["a,b", "c"], ["c"]]
    index = index_of(root, {"image_path": PATHS, "label": lists}, "multilabel", classes=["a,b", "c"])
    assert labels_of(index.train) == [[0], [1], [0, 1], [1]]


@pytest.mark.parametrize("kind", [pa.bool_(), pa.int8(), pa.float64(), pa.string()])
def test_one_hot_columns_may_be_numbers_or_truth_values(root, kind):
    convert = {pa.bool_(): bool, pa.string(): str}.get(kind, int)

    def flags(values):
        return pa.array([None if value is None else convert(value) for value in values], kind)

    columns = {"cat": flags([1, 1, 0, None]), "car": flags([0, 0, 1, 0]), "dog": flags([None, 0, 0, 1])}
    index = index_of(root, {"image_path": PATHS, **columns}, csv_label_columns=("cat", "car", "dog"))
    assert labels_of(index.train) == [[0], [0], [1], [2]]


def test_classes_left_out_come_from_the_labels(root):
    assert index_of(root, {"image_path": PATHS, "label": LABELS}, classes=None).classes.names == ("car", "cat", "dog")


def test_problems_name_the_row(root):
    found = problems_of(
        root, {"image_path": [PATHS[0], "no.png", None, PATHS[3]], "label": ["cat", "cat", "car", "dgo"]}
    )
    assert set(found) == {"train.parquet: row 2", "train.parquet: row 3", "train.parquet: row 4"}
    assert "did you mean 'dog'" in found["train.parquet: row 4"]


def test_missing_columns_and_columns_of_other_types_are_named(root):
    assert "has no column 'label'" in problems_of(root, {"image_path": PATHS, "labels": LABELS})["train.parquet"]
    found = problems_of(root, {"image_path": PATHS, "label": [0.5, 1.0, 2.0, 3.0]})
    assert found == {"train.parquet": "column 'label' holds double, expected text, integers, or lists of these"}
    assert "holds int64, expected text" in problems_of(root, {"image_path": [1] * 4, "label": LABELS})["train.parquet"]


def test_shares_and_groups_work_as_with_csv(root):
    copies = [path.replace(".png", f"_{k}.png") for k in range(5) for path in PATHS]
    for path, copy in zip(PATHS * 5, copies, strict=True):
        (root / copy).write_bytes((root / path).read_bytes())
    columns = {"image_path": copies, "label": LABELS * 5, "patient": [i // 2 for i in range(20)]}
    pq.write_table(pa.table(columns), root / "all.parquet")
    lines = ["image_path,label,patient", *map(",".join, zip(*(map(str, c) for c in columns.values()), strict=True))]
    (root / "all.csv").write_text("\n".join(lines))
    found = [
        build_index(load_data_config({"train_csv": root / name, "val": 0.3, "split_group_column": "patient"}))
        for name in ("all.parquet", "all.csv")
    ]
    assert found[0].val.fingerprint() == found[1].val.fingerprint()
    assert len(found[0].val)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"image_path,label\n", b"PAR1" + b"\0" * 60 + b"PAR1"])
def test_a_file_that_is_not_parquet_is_an_error(root, content):
    (root / "train.parquet").write_bytes(content)
    config = load_data_config({"train_csv": root / "train.parquet", "val": root / "train", "classes": CLASSES})
    with pytest.raises(DatasetError, match=r"train\.parquet.*cannot be read as Parquet"):
        build_index(config)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(position=st.floats(0, 1), flip=st.integers(1, 255))
def test_a_damaged_file_gives_an_index_or_a_dataset_error(root, position, flip):
    pq.write_table(pa.table({"image_path": PATHS, "label": LABELS}), root / "train.parquet")
    content = bytearray((root / "train.parquet").read_bytes())
    content[min(int(position * len(content)), len(content) - 1)] ^= flip
    (root / "train.parquet").write_bytes(content)
    config = load_data_config({"train_csv": root / "train.parquet", "val": root / "train", "classes": CLASSES})
    try:
        assert len(build_index(config).train)
    except DatasetError as error:
        assert error.problems


def test_without_pyarrow_the_error_names_what_to_install(root, monkeypatch):
    pq.write_table(pa.table({"image_path": PATHS, "label": LABELS}), root / "train.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    config = load_data_config({"train_csv": root / "train.parquet", "val": root / "train", "classes": CLASSES})
    with pytest.raises(DatasetError, match=r'pip install "lt-data\[parquet\]"'):
        build_index(config)


cells = st.text(alphabet='ab,;" é0', max_size=6)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(rows=st.lists(st.tuples(st.sampled_from(["a.png", "b.png", "c.png", ""]), cells), min_size=1, max_size=6))
@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_any_table_means_the_same_as_parquet_and_as_csv(tmp_path, rows, task):
    for name in ("a.png", "b.png"):
        (tmp_path / name).touch()
    columns = {"image_path": [path for path, _ in rows], "label": [label for _, label in rows]}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    quoted = [",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows]
    (tmp_path / "t.csv").write_text("\n".join(["image_path,label", *quoted]), encoding="utf-8")
    found = []
    for name in ("t.parquet", "t.csv"):
        config = load_data_config(
            {"train_csv": tmp_path / name, "val_csv": tmp_path / name, "classes": ["a", "b", "é"]}
        )
        try:
            found.append(build_index(config, task).train.fingerprint())
        except DatasetError as error:
            found.append([re.sub(PLACE, "row", problem.what) for problem in error.problems])
    assert found[0] == found[1]
