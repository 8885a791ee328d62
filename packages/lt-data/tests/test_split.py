from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from lt_data import Classes, DatasetError, DatasetIndex, SampleIndex, build_index, load_data_config, write_split


@pytest.fixture
def table(tmp_path):
    """Write a CSV file of the given labels (and groups), with an empty file for each image."""

    def write(labels, groups=None) -> Path:
        lines = ["image_path,label,patient"]
        for i, label in enumerate(labels):
            (tmp_path / f"{i}.png").touch()
            lines.append(f'{i}.png,"{label}",{"" if groups is None or groups[i] is None else groups[i]}')
        (tmp_path / "all.csv").write_text("\n".join(lines))
        return tmp_path / "all.csv"

    return write


def split_of(file, share, task="multiclass", **more):
    return build_index(load_data_config({"train_csv": file, "val": share, **more}), task)


def numbers(samples) -> list[int]:
    return [int(samples.path(i).stem) for i in range(len(samples))]


def counts(samples) -> list[int]:
    return np.bincount(samples.labels, minlength=samples.num_classes).tolist()


names = st.sampled_from(["a", "b", "c"])
shares = st.floats(0.02, 0.98)
relaxed = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)


@relaxed
@given(labels=st.lists(names, min_size=2, max_size=60), share=shares, seed=st.integers(0, 5))
def test_each_sample_is_in_one_split_and_each_class_is_split_by_its_rounded_share(table, labels, share, seed):
    assume(len(set(labels)) > 1)
    assume(max(labels.count(name) for name in set(labels)) > 1)
    index = split_of(table(labels), share, split_seed=seed)
    assert sorted(numbers(index.train) + numbers(index.val)) == list(range(len(labels)))
    for code, name in enumerate(index.classes.names):
        n = labels.count(name)
        expected = 0 if n == 1 else min(max(round(share * n), 1), n - 1)
        assert counts(index.val)[code] == expected
        assert all(
            labels[i] == name for i in numbers(index.val) if index.val.labels[numbers(index.val).index(i)] == code
        )


@relaxed
@given(
    rows=st.lists(st.tuples(names, st.none() | st.integers(0, 6)), min_size=4, max_size=60),
    share=shares,
    multilabel=st.booleans(),
)
def test_groups_are_never_torn_and_rows_without_a_group_stand_alone(table, rows, share, multilabel):
    assume(len({label for label, _ in rows}) > 1)
    file = table([label for label, _ in rows], [group for _, group in rows])
    task = "multilabel" if multilabel else "multiclass"
    try:
        index = split_of(file, share, task, split_group_column="patient")
    except DatasetError as error:
        assert "leaves" in str(error)
        return
    train, val = numbers(index.train), numbers(index.val)
    assert sorted(train + val) == list(range(len(rows)))
    assert not {rows[i][1] for i in train} & {rows[i][1] for i in val} - {None}
    assert train
    assert val


def test_rows_whose_group_is_empty_are_no_group(table):
    index = split_of(table(["a", "b"] * 10, [None] * 18 + [1, 1]), 0.5, split_group_column="patient")
    assert len(index.val) == 10


def test_every_class_stays_in_train_when_groups_are_dealt_out(table):
    labels = ["a"] * 20 + ["b"] * 20 + ["c"] * 2
    groups = [i // 4 for i in range(40)] + [98, 98]
    index = split_of(table(labels, groups), 0.9, split_group_column="patient")
    assert all(counts(index.train))


def test_rows_of_one_patient_keep_the_classes_balanced_as_far_as_patients_allow(table):
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 150, 600).tolist()
    labels = [("a", "b", "c")[i] for i in rng.integers(0, 3, 600)]
    index = split_of(table(labels, groups), 0.25, split_group_column="patient")
    total = np.add(counts(index.train), counts(index.val))
    assert np.abs(counts(index.val) - 0.25 * total).max() <= 2
    assert abs(len(index.val) - 150) <= 4


def test_a_giant_group_does_not_push_its_class_out_of_either_split(table):
    labels = ["a"] * 60 + ["b"] * 40
    groups = [0] * 40 + [*range(1, 61)]
    index = split_of(table(labels, groups), 0.2, split_group_column="patient")
    assert counts(index.val) == [12, 8]


def test_multilabel_samples_are_stratified_label_by_label(table):
    rng = np.random.default_rng(1)
    picks = [[name for name in "abcdefgh" if rng.random() < 0.05 * (ord(name) - ord("a") + 1)] for _ in range(800)]
    index = split_of(table([",".join(pick) for pick in picks]), 0.2, "multilabel")
    total = np.add(counts(index.train), counts(index.val))
    assert np.abs(counts(index.val) - 0.2 * total).max() <= 2
    assert abs(len(index.val) - 160) <= 10
    negatives = sum(len(index.val.labels_of(i)) == 0 for i in range(len(index.val)))
    assert abs(negatives - 0.2 * sum(not pick for pick in picks)) <= 3


def test_a_seed_gives_the_same_split_in_every_process_and_another_seed_another(table):
    file = table(["a", "b"] * 50)
    code = (
        "import sys; from lt_data import build_index, load_data_config;"
        "val = build_index(load_data_config({'train_csv': sys.argv[1], 'val': 0.3, 'split_seed': 4})).val;"
        "print([int(val.path(i).stem) for i in range(len(val))])"
    )
    found = {
        subprocess.check_output(
            [sys.executable, "-c", code, str(file)],
            text=True,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
        )
        for hash_seed in ("1", "2")
    }
    assert found == {f"{numbers(split_of(file, 0.3, split_seed=4).val)}\n"}
    assert numbers(split_of(file, 0.3, split_seed=5).val) != numbers(split_of(file, 0.3, split_seed=4).val)


def test_the_split_of_a_seed_stays_what_it_was_in_earlier_versions(table):
    assert numbers(split_of(table(["a", "b"] * 10), 0.3).val) == [2, 3, 8, 11, 13, 18]


def test_folders_can_be_split_whatever_order_their_file_system_has(make_folder, monkeypatch):
    train = make_folder("train", cat=8, dog=4)
    config = load_data_config({"train": train, "val": 0.25})
    index = build_index(config)
    assert (counts(index.val), counts(index.train)) == ([2, 1], [6, 3])
    scandir = os.scandir

    class Reversed:
        def __init__(self, folder):
            with scandir(folder) as entries:
                self.entries = sorted(entries, key=lambda entry: entry.name, reverse=True)

        def __enter__(self):
            return iter(self.entries)

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(os, "scandir", Reversed)
    assert build_index(config).val.fingerprint() == index.val.fingerprint()


@pytest.mark.parametrize("given", ["20%", "0.2", ".2", "0,2", "20", "12.5 %"])
def test_text_in_place_of_a_share_is_told_how_a_share_is_given(table, tmp_path, given):
    data = {"train_csv": table(["a", "a", "b", "b"])}
    (tmp_path / "data.yaml").write_text(f"train_csv: train.csv\nval: '{given}'\n")
    for source in ({**data, "val": given}, tmp_path / "data.yaml"):
        with pytest.raises(DatasetError, match=r"data.val .* is not a folder; a share .* without quotes .* 0\.2"):
            build_index(load_data_config(source))


def test_a_folder_that_is_missing_is_no_share_and_one_called_like_a_number_is_taken(table, make_folder):
    data = {"train_csv": table(["a", "a", "b", "b"])}
    with pytest.raises(DatasetError, match=r"vall is not a folder \(it is looked for at .*vall\)$"):
        build_index(load_data_config({**data, "val": "vall"}))
    assert len(build_index(load_data_config({**data, "val": make_folder("2024", a=1, b=1)})).val) == 2


def test_a_share_that_is_raised_to_a_sample_a_class_is_in_the_log(table, caplog):
    with caplog.at_level(logging.INFO):
        assert len(split_of(table(["a", "b", "c", "d"] * 20), 0.001).val) == 4
    what = "more than the share of 0.001: of 4 classes it is less than half a sample, yet each gives one, so that"
    assert what in caplog.text
    caplog.clear()
    with caplog.at_level(logging.INFO):
        split_of(table(["a", "b"] * 20), 0.25)
    assert "more than the share" not in caplog.text


def test_a_share_of_nothing_is_not_in_the_log(tmp_path, caplog):
    (tmp_path / "train.csv").write_text("image_path,label\nno.png,a\nno.png,b\n")
    with caplog.at_level(logging.INFO), pytest.raises(DatasetError):
        build_index(load_data_config({"train_csv": tmp_path / "train.csv", "val": 0.5}))
    assert "split off" not in caplog.text


def test_classes_with_one_sample_stay_in_train_and_the_log_says_so(table, caplog):
    with caplog.at_level(logging.INFO):
        index = split_of(table(["a", "a", "b"]), 0.5)
    assert (counts(index.train), counts(index.val)) == ([1, 1], [1, 0])
    assert "1 classes have one sample, which stays in train" in caplog.text
    assert "val: 1 of 3 training samples" in caplog.text


@pytest.mark.parametrize(("labels", "groups"), [(["a", "b"], None), (["a", "b", "a", "b"], ["x"] * 4)])
def test_a_share_that_leaves_a_split_empty_is_an_error(table, labels, groups):
    more = {} if groups is None else {"split_group_column": "patient"}
    with pytest.raises(DatasetError, match=r"data\.val .*leaves validation without any"):
        split_of(table(labels, groups), 0.2, **more)


def test_problems_of_the_training_data_are_reported_once(table):
    for labels in (["a", "b", "a"], ["a", "b"]):
        file = table(labels)
        file.write_text(file.read_text() + "\nnowhere.png,a,")
        with pytest.raises(DatasetError) as caught:
            split_of(file, 0.2)
        assert [problem.where for problem in caught.value.problems] == [f"{file}:{len(labels) + 2}"]


def paths_of(samples) -> set[Path]:
    return {samples.path(i).resolve() for i in range(len(samples))}


def rewritten(file: Path, rows: list[str], header: str = "image_path,label,patient") -> Path:
    file.write_text("\n".join([header, *rows]))
    return file


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_rows_of_one_image_are_never_torn_and_a_warning_counts_them(table, caplog, task):
    file = table(["a", "b"] * 12)
    rows = file.read_text().splitlines()[1:]
    other = [f"./{row}" for row in rows]
    absolute = [f"{file.parent}/{row}" for row in rows]
    with caplog.at_level(logging.WARNING):
        index = split_of(rewritten(file, rows + other + absolute), 0.25, task)
    assert len(index.train) + len(index.val) == 72
    assert len(index.val) == 18
    assert not paths_of(index.train) & paths_of(index.val)
    (warning,) = [record.getMessage() for record in caplog.records]
    assert "train: 48 rows have an image that an earlier row has" in warning
    assert f"'./0.png' in {file}:26 and {file}:2" in warning
    assert ("in one row" in warning) == (task == "multilabel")


def test_an_image_in_two_groups_keeps_both_groups_together(table):
    file = table(["a", "b"] * 4, [i // 2 for i in range(8)])
    rows = [*file.read_text().splitlines()[1:], "0.png,a,1", "2.png,a,", "2.png,a,2"]
    for seed in range(6):
        index = split_of(rewritten(file, rows), 0.4, split_group_column="patient", split_seed=seed)
        sides = [{int(path.stem) // 2 for path in paths_of(side)} for side in (index.train, index.val)]
        assert sorted(sides, key=len) == [{3}, {0, 1, 2}]


def test_an_image_with_two_labels_is_an_error_that_names_both_rows(table):
    file = table(["a", "b"] * 4)
    rows = [*file.read_text().splitlines()[1:], "./0.png,b,", "1.png,b,"]
    with pytest.raises(DatasetError) as caught:
        split_of(rewritten(file, rows), 0.25)
    (problem,) = caught.value.problems
    assert problem.where == f"{file}:10"
    assert f"'./0.png' is 'b' here and 'a' in {file}:2" in problem.what
    assert "multilabel" in problem.what


def test_rows_of_different_images_give_no_warning(table, caplog):
    split_of(table(["a", "b"] * 4), 0.25)
    assert not caplog.records


def test_a_group_column_that_is_not_there_is_named(table):
    with pytest.raises(DatasetError, match=r"split_group_column to one of"):
        split_of(table(["a", "b"]), 0.5, split_group_column="case")


def test_a_million_samples_are_split_within_seconds():
    labels = np.arange(1_000_000, dtype=np.int32) % 1000
    samples = SampleIndex.from_paths(Path("/"), ["x.png"] * len(labels), labels, num_classes=1000)
    from lt_data.index.split import split_off

    chosen = split_off(samples, 0.2, 0)
    assert np.bincount(labels[chosen]).tolist() == [200] * 1000
    assert len(samples.take(np.flatnonzero(chosen))) == 200_000


def read_back(folder: Path, index: DatasetIndex, task, **more) -> DatasetIndex:
    files = {"train_csv": folder / "train.csv", "val_csv": folder / "val.csv"}
    return build_index(load_data_config({**files, "classes": index.classes.as_dict(), **more}), task)


def content(samples) -> list[tuple[Path, list[int]]]:
    return [(samples.path(i), samples.labels_of(i).tolist()) for i in range(len(samples))]


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_a_written_split_reads_back_to_the_same_samples(table, tmp_path, task, monkeypatch):
    monkeypatch.chdir(tmp_path)
    labels = ["a", "b", "a", "b"] if task == "multiclass" else ["a,b", "", "b", "a"]
    table(labels)
    index = build_index(load_data_config({"train_csv": "all.csv", "val": 0.5}), task)
    write_split(index, tmp_path / "new" / "split")
    again = read_back(tmp_path / "new" / "split", index, task)
    assert again.classes == index.classes
    for before, after in ((index.train, again.train), (index.val, again.val)):
        assert content(after) == [(path.absolute(), codes) for path, codes in content(before)]
    assert (tmp_path / "new" / "split" / "val.csv").read_text().startswith("image_path,label\n")


odd = st.text(alphabet=st.sampled_from("ab ,;|/\"'\n\r\t\\é猫\udcff!#"), min_size=1, max_size=6)
file_names = odd.filter(lambda name: "/" not in name)


@pytest.mark.skipif(os.name == "nt", reason="Windows refuses most of these names")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=120)
@given(
    files=st.lists(file_names, min_size=2, max_size=5, unique=True),
    classes=st.lists(odd, min_size=2, max_size=4, unique=True),
    data=st.data(),
)
def test_names_of_any_kind_survive_being_written_and_read(tmp_path_factory, files, classes, data):
    root = tmp_path_factory.mktemp("odd")
    paths = [f"{name}.png" for name in files]
    try:
        for path in paths:
            (root / path).touch()
    except OSError:
        assume(False)
    picks = [sorted(data.draw(st.sets(st.integers(0, len(classes) - 1)))) for _ in paths]
    # Training needs every class.
    picks[0] = list(range(len(classes)))
    samples = SampleIndex.from_paths(
        root,
        paths,
        np.array([code for pick in picks for code in pick], dtype=np.int32),
        num_classes=len(classes),
        label_ends=np.cumsum([len(pick) for pick in picks]),
    )
    index = DatasetIndex(Classes(tuple(range(len(classes))), tuple(classes)), samples, samples)
    write_split(index, root)
    unused = (mark for mark in [*",;|/", *map(chr, range(33, 99))] if mark not in "".join(classes))
    again = read_back(root, index, "multilabel", label_delimiter=next(unused))
    assert content(again.train) == content(samples)
    for k in range(len(classes)):
        (root / str(k)).mkdir()
        for path in paths:
            (root / str(k) / path).touch()
    one = SampleIndex.from_paths(
        root,
        [f"{k}/{path}" for path in paths for k in range(len(classes))],
        np.tile(np.arange(len(classes)), len(paths)),
        num_classes=len(classes),
    )
    index = DatasetIndex(index.classes, one, one)
    write_split(index, root)
    assert content(read_back(root, index, "multiclass").train) == content(one)


def test_labels_are_joined_by_what_no_class_name_has_and_the_log_says_by_what(tmp_path, table, caplog):
    index = split_of(table(["a,x", "b", "a,x", "b"]), 0.5, "multilabel", label_delimiter=";")
    with caplog.at_level(logging.INFO):
        write_split(index, tmp_path)
    assert "set data.label_delimiter" in caplog.text
    assert content(read_back(tmp_path, index, "multilabel", label_delimiter=";").val) == content(index.val)


def test_a_failed_write_leaves_the_earlier_split_whole(tmp_path, table, monkeypatch):
    index = split_of(table(["a", "b"] * 4), 0.5)
    write_split(index, tmp_path / "split")
    before = (tmp_path / "split" / "train.csv").read_bytes()

    def fail(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        write_split(split_of(table(["a", "b"] * 5), 0.5), tmp_path / "split")
    assert (tmp_path / "split" / "train.csv").read_bytes() == before
    assert sorted(path.name for path in (tmp_path / "split").iterdir()) == ["train.csv", "val.csv"]
