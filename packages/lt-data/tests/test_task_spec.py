from __future__ import annotations

import json

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lt_data import Calibration, Classes, Decoding, Preprocessing, TaskSpec, TaskSpecError

GOLDEN = (
    '{"format": "lightly-train/task-spec", "version": 1, "task": "multiclass", '
    '"classes": [{"id": 7, "name": "Käse"}, {"id": -1, "name": "b"}], '
    '"preprocessing": {"image_size": [32, 48], "num_channels": 1, "resize_mode": "letterbox", "resize_scale": 1.25, '
    '"interpolation": "bicubic", '
    '"mean": [0.5], "std": [0.25], '
    '"decoding": {"value_range": [0.0, 4095.0], "dicom_window": [40.0, 400.0], "dicom_frame": 2}}}'
)
"""What version 1 looks like in the files that users have: it must be readable for ever."""

GOLDEN_CALIBRATED = (
    GOLDEN[:-1].replace("multiclass", "multilabel")
    + ', "calibration": {"temperature": 1.5, "thresholds": [0.25, 0.75]}}'
)
"""Likewise, where something was fitted; otherwise the key is left out."""

SPEC = TaskSpec(
    task="multiclass",
    classes=Classes((7, -1), ("Käse", "b")),
    preprocessing=Preprocessing(
        image_size=(32, 48),
        num_channels=1,
        resize_mode="letterbox",
        resize_scale=1.25,
        interpolation="bicubic",
        mean=(0.5,),
        std=(0.25,),
        decoding=Decoding(value_range=(0.0, 4095.0), dicom_window=(40.0, 400.0), dicom_frame=2),
    ),
)

decodings = st.builds(
    Decoding,
    value_range=st.none() | st.tuples(st.floats(-1e6, 0), st.floats(1, 1e6)),
    dicom_window=st.sampled_from(["file", "off"]) | st.tuples(st.floats(-1e4, 1e4), st.floats(1, 1e5)),
    dicom_frame=st.sampled_from(["middle", "all"]) | st.integers(0, 1000),
)
preprocessings = st.integers(1, 5).flatmap(
    lambda channels: st.builds(
        Preprocessing,
        image_size=st.tuples(st.integers(1, 4096), st.integers(1, 4096)),
        num_channels=st.just(channels),
        resize_mode=st.sampled_from(["crop", "letterbox", "squash"]),
        resize_scale=st.floats(1.0, 4.0),
        interpolation=st.sampled_from(["bilinear", "bicubic"]),
        mean=st.tuples(*[st.floats(-2, 2)] * channels),
        std=st.tuples(*[st.floats(1e-3, 10)] * channels),
        decoding=decodings,
    )
)
classes = st.dictionaries(st.integers(-(2**63), 2**63 - 1), st.text(), min_size=1).filter(
    lambda names: len(set(names.values())) == len(names)
)
temperatures = st.floats(0, 1e6, exclude_min=True)
scores = st.floats(0, 1, exclude_min=True, exclude_max=True)


@st.composite
def specs(draw):
    named = Classes.from_mapping(draw(classes))
    kind = draw(st.sampled_from(["multiclass", "multilabel"]))
    thresholds = st.none() if kind == "multiclass" else st.none() | st.tuples(*[scores] * len(named))
    calibration = Calibration(temperature=draw(temperatures), thresholds=draw(thresholds))
    return TaskSpec(task=kind, classes=named, preprocessing=draw(preprocessings), calibration=calibration)


@given(specs())
def test_a_task_spec_survives_json_exactly(spec):
    assert TaskSpec.from_json(spec.to_json()) == spec


def test_version_1_is_written_and_read_as_it_always_was():
    assert SPEC.to_json() == GOLDEN
    assert TaskSpec.from_json(GOLDEN) == SPEC
    calibrated = attrs.evolve(
        SPEC, task="multilabel", calibration=Calibration(temperature=1.5, thresholds=(0.25, 0.75))
    )
    assert calibrated.to_json() == GOLDEN_CALIBRATED
    assert TaskSpec.from_json(GOLDEN_CALIBRATED) == calibrated


def changed(**changes: object) -> str:
    return json.dumps({**json.loads(GOLDEN), **changes})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no task description"),
        ("[]", "no task description"),
        ("{}", "format"),
        ("[" * 100_000, "no task description"),
        (changed(version=2), "version 1, not 2"),
        (changed(task="detection"), "task_spec.task"),
        (changed(classes=[]), "at least|one name"),
        (changed(classes=[{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]), "unique"),
        (changed(classes=[{"id": 2**70, "name": "a"}]), "64 bits"),
        (changed(future_key=1), "future_key"),
        (GOLDEN.replace('"std": [0.25]', '"std": [0.0]'), "std"),
        (GOLDEN.replace('"std": [0.25]', '"std": [0.25, 1.0]'), "one entry"),
        (GOLDEN.replace("1.25", "NaN"), "resize_scale"),
        (GOLDEN.replace('"resize_scale"', '"resize_factor"'), "resize_factor"),
        (GOLDEN.replace('"letterbox"', '"stretch"'), "resize_mode"),
        (GOLDEN_CALIBRATED.replace("1.5", "0.0"), "temperature"),
        (GOLDEN_CALIBRATED.replace("1.5", "Infinity"), "temperature"),
        (GOLDEN_CALIBRATED.replace("0.75", "1.0"), "thresholds must be above 0 and below 1"),
        (GOLDEN_CALIBRATED.replace("0.25, 0.75", "0.25"), "each of 2 classes, got 1"),
        (GOLDEN_CALIBRATED.replace("multilabel", "multiclass"), "thresholds are for multilabel"),
    ],
)
def test_damaged_foreign_and_newer_descriptions_are_refused_with_the_reason(text, message):
    with pytest.raises(TaskSpecError, match=message):
        TaskSpec.from_json(text)


@given(st.text() | st.text(alphabet='{}[]",:0123456789.eE+-truefalsn "'))
def test_any_text_is_a_task_spec_or_a_task_spec_error(text):
    with pytest.raises(TaskSpecError):
        TaskSpec.from_json(text)


def test_values_out_of_range_are_refused_when_built_in_python():
    with pytest.raises(ValueError, match="resize_scale"):
        Preprocessing(image_size=(8, 8), resize_scale=0.9)
    with pytest.raises(ValueError, match="interpolation"):
        Preprocessing(image_size=(8, 8), interpolation="nearest")
