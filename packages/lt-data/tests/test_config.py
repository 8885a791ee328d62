from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lt_data import (
    ConfigError,
    DataConfig,
    TransformConfig,
    check,
    data_keys,
    is_whole,
    load_data_config,
    nearest,
    structure,
)
from lt_data.data_config import load_split_config

TABLES = {"train_csv": "train.csv", "val_csv": "val.csv"}
VALID = {"train": "data/train", "val": "data/val", "classes": {0: "cat", 1: "car", 2: "dog"}}


def problems_of(data: object) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        load_data_config(data)
    return {problem.where: problem.what for problem in caught.value.problems}


def test_a_folder_of_splits_is_data_and_another_or_a_table_is_told_what_to_add(tmp_path):
    table = tmp_path / "labels.csv"
    table.touch()
    with pytest.raises(ConfigError, match=r"no validation data.*\{'train': '.*', 'val': 0\.2\}.* --data\.val 0\.2 too"):
        load_data_config(tmp_path)
    with pytest.raises(ConfigError, match=r"no validation data.*'train_csv': '.*labels\.csv', 'val'"):
        load_data_config(table)
    for split in ("train", "val"):
        (tmp_path / split).mkdir()
    assert load_data_config(str(tmp_path)) == DataConfig(train=tmp_path / "train", val=tmp_path / "val")
    (tmp_path / "test").mkdir()
    assert load_data_config(tmp_path).test == tmp_path / "test"
    with pytest.raises(ConfigError, match=r"nothing\.yaml does not exist$"):
        load_data_config(tmp_path / "nothing.yaml")
    with pytest.raises(ConfigError, match=r"nothing\.yaml does not exist \(it is looked for at .*nothing\.yaml\)$"):
        load_data_config("nothing.yaml")


def test_a_key_that_stands_twice_in_a_yaml_file_is_refused_with_both_lines(tmp_path):
    (tmp_path / "data.yaml").write_text("train: a\nval: b\nval: 0.2\n")
    with pytest.raises(ConfigError, match="line 3, column 1: the key 'val' stands here a second time, first in line 2"):
        load_data_config(tmp_path / "data.yaml")
    (tmp_path / "data.yaml").write_text("classes: {0: cat, 1: dog, 0: car}\n")
    with pytest.raises(ConfigError, match="the key '0' stands here a second time"):
        load_data_config(tmp_path / "data.yaml")
    (tmp_path / "data.yaml").write_text("base: &base {train: a, val: b}\n<<: *base\nval: c\n")
    with pytest.raises(ConfigError, match="data.base  unknown key"):
        load_data_config(tmp_path / "data.yaml")


def test_a_file_that_is_no_text_is_told_so(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"\x08\x0a\xf0\x00")
    with pytest.raises(ConfigError, match=r"model\.onnx as a YAML file: it is no text in UTF-8 \(byte 0xf0"):
        load_data_config(tmp_path / "model.onnx")


@pytest.mark.parametrize("read", [load_data_config, check, partial(load_split_config, split="val"), data_keys])
def test_an_empty_text_is_no_path_and_not_the_working_directory(read):
    with pytest.raises(ConfigError, match="data +expected a path, got ''"):
        read("")


def test_a_number_in_quotes_is_told_to_go_without():
    with pytest.raises(ConfigError, match="expected an integer, got '7'; leave the quotes out"):
        load_data_config({**VALID, "split_seed": "7"})
    with pytest.raises(ConfigError, match="expected a finite number, got '1e-3'; leave the quotes out"):
        load_data_config({**VALID, "cache_limit_gb": "1e-3"})
    with pytest.raises(ConfigError, match="expected an integer or 'auto', got '3'; leave the quotes out"):
        structure({"num_channels": "3"}, TransformConfig, "transform_args")
    with pytest.raises(ConfigError, match="expected a finite number, got 'some'$"):
        load_data_config({**VALID, "cache_limit_gb": "some"})


def test_classes_by_name_are_told_to_be_turned_round():
    with pytest.raises(ConfigError, match="such as {0: 'cat'}: first the ID, then the name"):
        load_data_config({**VALID, "classes": {"cat": 0}})


def test_a_file_that_is_no_yaml_is_told_by_line_and_column_in_one_line(tmp_path):
    (tmp_path / "data.yaml").write_text("train: a\nclasses:\n\t0: cat\n")
    with pytest.raises(ConfigError, match="line 3, column 1: YAML takes blanks, not tabs, for indentation$"):
        load_data_config(tmp_path / "data.yaml")


def test_the_dict_of_the_reference_page_is_understood():
    config = load_data_config({**VALID, "ignore_classes": [0]})
    assert config.train == Path("data/train")
    assert config.classes is not None
    assert config.kept_classes(config.classes) == {1: "car", 2: "dog"}


def test_values_of_numpy_become_those_of_python_and_keep_their_kind():
    names = list(np.unique(["dog", "cat"]))
    config = load_data_config(
        {
            **VALID,
            "classes": [*names, np.str_("cow")],
            "ignore_classes": {np.int64(1)},
            "val": np.float32(0.5),
            "split_seed": np.int8(3),
        }
    )
    assert config == load_data_config(
        {**VALID, "classes": ["cat", "dog", "cow"], "ignore_classes": [1], "val": 0.5, "split_seed": 3}
    )
    assert config.classes is not None
    assert {type(name) for name in config.classes.values()} == {str}
    assert load_data_config({**VALID, "classes": {np.int64(4): names[0], 5: names[1]}}).classes == {4: "cat", 5: "dog"}
    assert "split_seed" in str(problems_of({**VALID, "split_seed": np.float64(1.5)}))
    assert "split_seed" in str(problems_of({**VALID, "split_seed": np.True_}))


def test_an_unknown_key_is_named_by_its_full_path_with_the_nearest_valid_one():
    assert problems_of({**VALID, "csv_image_colum": "x"}) == {
        "data.csv_image_colum": "unknown key; did you mean `csv_image_column`?"
    }


def test_keys_of_tables_without_a_table_are_refused():
    found = problems_of({"train": "a", "val": "b", "csv_label_type": "id", "csv_delimiter": ";"})
    assert set(found) == {"data.csv_label_type", "data.csv_delimiter"}
    assert "there is none: give `train_csv`" in found["data.csv_label_type"]


def transform_problems_of(raw) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        structure(raw, TransformConfig, "transform_args")
    return {problem.where: problem.what for problem in caught.value.problems}


def test_a_normalisation_is_told_all_that_is_wrong_with_it():
    found = transform_problems_of({"normalize": {"mean": [0.5], "std": [0, 1, 1]}})
    assert set(found) == {"transform_args.normalize.std", "transform_args.normalize"}
    assert found["transform_args.normalize"] == "needs one mean and one std for each channel, got 1 and 3"
    found = transform_problems_of({"normalize": {"mean": [0.5], "std": [1, 1, 1]}})
    assert set(found) == {"transform_args.normalize"}
    assert set(transform_problems_of({"normalize": 3})) == {"transform_args.normalize"}


def test_a_mean_of_values_from_0_to_255_is_refused_with_what_to_divide_by():
    found = transform_problems_of({"normalize": {"mean": [123.7, 116.3, 103.5], "std": [58.4, 57.1, 57.4]}})
    assert "of values from 0 to 255 divide mean and std by 255" in found["transform_args.normalize.mean"]


def test_a_key_like_no_other_is_answered_with_all_valid_ones():
    message = problems_of({**VALID, "zzzzzz": 1})["data.zzzzzz"]
    assert "train" in message
    assert "ignore_classes" in message


def test_all_problems_are_reported_at_once_each_with_its_path():
    found = problems_of({"val": 3, "classes": {0: "dog", "x": "cat", 2: "dog"}, "label_delimeter": ";"})
    assert set(found) == {"data.val", "data.classes['x']", "data.classes[2]", "data.label_delimeter"}
    assert found["data.classes[2]"] == 'class name "dog" is used twice (IDs 0 and 2)'


def test_missing_splits_are_named():
    assert set(problems_of({"classes": {0: "a", 1: "b"}})) == {"data.train", "data.val"}


def test_class_ids_may_be_text_as_in_json_and_classes_a_list():
    assert load_data_config({**VALID, "classes": {"0": "cat", "7": "dog"}}).classes == {0: "cat", 7: "dog"}
    assert load_data_config({**VALID, "classes": ["cat", "dog"]}).classes == {0: "cat", 1: "dog"}


@pytest.mark.parametrize("given", ["cat,dog", 3, True])
def test_classes_of_another_form_are_told_both_forms_there_are(given):
    message = problems_of({**VALID, "classes": given})["data.classes"]
    assert "a list of names, such as [cat, dog]" in message
    assert "a dict from ID to name, such as {0: cat, 1: dog}" in message
    assert message.endswith(f"got {given!r}")
    for form in ("[cat, dog]", "{0: cat, 1: dog}"):
        assert load_data_config({**VALID, "classes": yaml.safe_load(form)}).classes == {0: "cat", 1: "dog"}


def test_classes_may_be_ignored_by_name_or_id_but_must_exist():
    config = load_data_config({**VALID, "ignore_classes": {"dog"}})
    assert config.classes is not None
    assert config.kept_classes(config.classes) == {0: "cat", 1: "car"}
    named = {0: "dog", 1: "cat", 2: "cow, brown"}
    refused = problems_of({**VALID, "classes": named, "ignore_classes": [9]})["data.ignore_classes"]
    assert refused.endswith("; there are 0: dog, 1: cat, 2: 'cow, brown'")


def test_fewer_than_two_classes_are_refused():
    assert "at least two" in problems_of({**VALID, "ignore_classes": [0, 1]})["data.classes"]


def test_paths_in_a_yaml_file_are_relative_to_the_file(tmp_path):
    file = tmp_path / "data.yaml"
    file.write_text("\ufefftrain: images/train\nval: /abs/val\nclasses: {0: Käse, 1: dog}\n", encoding="utf-8")
    config = load_data_config(file)
    assert config.train == tmp_path / "images/train"
    assert config.val == Path("/abs/val")
    assert config.classes == {0: "Käse", 1: "dog"}


def test_a_yaml_file_is_as_strict_as_a_dict(tmp_path):
    file = tmp_path / "data.yaml"
    file.write_text("train: a\nval: b\nclases: {0: a}\n")
    assert problems_of(file) == {"data.clases": "unknown key; did you mean `classes`?"}


@pytest.mark.parametrize("content", ["[1, 2]", "a: [", "!!python/object/apply:os.system ['true']", "\x00"])
def test_a_file_that_is_no_yaml_mapping_is_refused_and_not_executed(tmp_path, content):
    file = tmp_path / "data.yaml"
    file.write_text(content)
    assert "data.yaml" in problems_of(file)["data"]


def test_a_missing_yaml_file_is_named(tmp_path):
    assert "nowhere.yaml" in problems_of(tmp_path / "nowhere.yaml")["data"]


@pytest.mark.parametrize("given", [64, [64], (64,)])
@pytest.mark.parametrize("key", ["image_size", "val.image_size"])
def test_one_side_in_place_of_height_and_width_is_told_how_both_are_given(given, key):
    raw = {"val": {"image_size": given}} if key.startswith("val") else {"image_size": given}
    with pytest.raises(ConfigError) as caught:
        structure(raw, TransformConfig, "transform_args")
    (problem,) = caught.value.problems
    expected = f"expected height and width in pixels, such as [64, 64], got {given!r}"
    assert (problem.where, problem.what) == (f"transform_args.{key}", expected)
    assert structure({"image_size": [64, 64]}, TransformConfig, "").image_size == (64, 64)


@pytest.mark.parametrize("given", [True, [True], 64.0, "64", [64, 64, 3], []])
def test_what_is_no_side_at_all_is_told_the_form_of_an_image_size(given):
    with pytest.raises(ConfigError, match=r"image_size +expected a list of 2 values or 'auto', got"):
        structure({"image_size": given}, TransformConfig, "")


@pytest.mark.parametrize(("value", "expected"), [(3, True), (-1, True), (True, False), (3.0, False), ("3", False)])
def test_whole_numbers_are_integers_other_than_true_and_false(value, expected):
    assert is_whole(value) is expected


def test_wrong_transform_values_are_all_reported():
    raw = {
        "image_size": [32],
        "random_crop": {"min_scale": 2, "max_scal": 1},
        "color_jitter": {"hue": 3, "strength": "x"},
        "val": {"resize_scale": 0.5},
        "normalize": 3,
    }
    with pytest.raises(ConfigError) as caught:
        structure(raw, TransformConfig, "transform_args")
    assert {problem.where for problem in caught.value.problems} == {
        "transform_args.image_size",
        "transform_args.random_crop.min_scale",
        "transform_args.random_crop.max_scal",
        "transform_args.color_jitter.hue",
        "transform_args.color_jitter.strength",
        "transform_args.val.resize_scale",
        "transform_args.normalize",
    }


@pytest.mark.parametrize(
    ("given", "expected", "within"),
    [
        (
            {"normalize": {"mean": [0.5], "std": [0.0]}},
            "must be above 0, got (0.0,)",
            {"mean": [0.5], "std": [1e-9]},
        ),
        ({"random_crop": {"min_scale": 0.009}}, "must be from 0.01 to 1, got 0.009", {"min_scale": 0.01}),
        ({"random_crop": {"max_scale": 1.001}}, "must be from 0.01 to 1, got 1.001", {"max_scale": 1.0}),
        ({"color_jitter": {"strength": -0.1}}, "must be at least 0, got -0.1", {"strength": 0.0}),
    ],
)
def test_a_number_outside_its_range_is_refused_with_the_range_and_its_bounds_are_taken(given, expected, within):
    with pytest.raises(ConfigError) as caught:
        structure(given, TransformConfig, "transform_args")
    assert [problem.what for problem in caught.value.problems] == [expected]
    assert structure({next(iter(given)): within}, TransformConfig, "transform_args")


def test_a_list_of_the_right_length_is_blamed_for_its_parts():
    with pytest.raises(ConfigError, match=r"image_size.*expected an integer, got 32\.0"):
        structure({"image_size": (32.0, 32)}, TransformConfig, "")


def test_none_turns_a_transform_off_and_a_partial_dict_keeps_the_other_defaults():
    config = structure({"random_flip": None, "random_crop": {"min_scale": 0.5}}, TransformConfig, "")
    assert config.random_flip is None
    assert config.random_crop is not None
    assert (config.random_crop.min_scale, config.random_crop.max_scale) == (0.5, 1.0)


def test_truth_values_are_not_numbers_and_text_is_not_parsed():
    for wrong in ({"num_channels": True}, {"num_channels": "3"}, {"val": {"resize_scale": float("nan")}}):
        with pytest.raises(ConfigError):
            structure(wrong, TransformConfig, "")


@pytest.mark.parametrize("share", [0.0, 1.0, -0.5, 2.0, float("nan"), 1])
def test_a_share_must_leave_something_on_both_sides(share):
    assert "data.val" in problems_of({"train": "a", "val": share})


def test_a_share_is_told_from_a_path_and_takes_no_second_source():
    assert load_data_config({"train": "a", "val": 0.25}).val == 0.25
    assert load_data_config({"train": "a", "val": "0.25"}).val == Path("0.25")
    assert set(problems_of({"train": "a", "val": 0.25, "val_csv": "b.csv"})) == {"data.val_csv"}


def test_groups_need_a_share_and_a_table():
    assert "needs `val`" in problems_of({**VALID, "split_group_column": "patient"})["data.split_group_column"]
    found = problems_of({"train": "a", "val": 0.25, "split_group_column": "patient"})
    assert "train_csv" in found["data.split_group_column"]
    assert load_data_config({"train_csv": "a.csv", "val": 0.25, "split_group_column": "patient"})


def test_one_hot_columns_are_at_least_two_different_ones():
    for columns in (["cat"], [], ["cat", "cat"]):
        assert set(problems_of({**TABLES, "csv_label_columns": columns})) == {"data.csv_label_columns"}
    assert load_data_config({**TABLES, "csv_label_columns": ["cat", "dog"]}).csv_label_columns == ("cat", "dog")


@pytest.mark.parametrize("delimiter", ["", ", ", "\n", "\r", "\0", '"'])
def test_the_delimiter_of_columns_is_one_character_that_ends_no_line(delimiter):
    assert set(problems_of({**TABLES, "csv_delimiter": delimiter})) == {"data.csv_delimiter"}
    assert load_data_config({**TABLES, "csv_delimiter": "\t"}).csv_delimiter == "\t"


def test_paths_of_a_test_split_and_of_a_share_in_a_yaml_file_are_relative_to_the_file(tmp_path):
    (tmp_path / "data.yaml").write_text("train: a\nval: 0.25\ntest_csv: b.csv\n")
    config = load_data_config(tmp_path / "data.yaml")
    assert (config.train, config.val, config.test_csv) == (tmp_path / "a", 0.25, tmp_path / "b.csv")


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.integers() | st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300)
@given(st.dictionaries(st.sampled_from(["train", "val", "classes", "ignore_classes", "oops"]), plain))
def test_any_dict_gives_a_config_or_a_config_error(raw):
    try:
        assert isinstance(load_data_config(raw), DataConfig)
    except ConfigError as error:
        assert error.problems


def test_a_table_in_place_of_yaml_is_an_error_of_one_line(tmp_path):
    (tmp_path / "data.csv").write_text("image_path,label\n" + "a.png,cat\n" * 10_000)
    with pytest.raises(ConfigError, match="train_csv") as caught:
        load_data_config(tmp_path / "data.csv")
    assert len(str(caught.value)) < 500


def test_names_that_yaml_takes_for_something_else_need_quotes():
    found = problems_of({**VALID, "classes": {0: False, 1: "yes"}})
    assert "need quotes" in found["data.classes[0]"]


@attrs.frozen
class Settings:
    extra: dict[str, Any] | None = None


@pytest.mark.parametrize("value", ["x", [1], 3])
def test_what_should_be_a_dict_is_told_by_its_path(value):
    with pytest.raises(ConfigError, match=r"args\.extra.*expected a dict"):
        structure({"extra": value}, Settings, "args")


@pytest.mark.parametrize(
    ("name", "candidates", "meant"),
    [
        ("save_evry", ["save_best", "save_every_num_steps", "save_last"], "save_every_num_steps"),
        ("save_bst", ["save_best", "save_every_num_steps", "save_last"], "save_best"),
        ("batch", ["batch_size", "steps"], "batch_size"),
        ("trian", ["train_csv", "train", "val"], "train"),
        ("step", ["step_size_of_all", "steps"], "steps"),
        ("csv_imag", ["csv_label_column", "csv_image_column"], "csv_image_column"),
        ("nothing", ["train_csv", "steps"], None),
    ],
)
def test_a_name_is_compared_with_whole_names_and_with_their_first_words(name, candidates, meant):
    assert nearest(name, iter(candidates)) == meant
