from __future__ import annotations

import inspect

import pytest

import lt_data.torch

NAMES = [
    "Augmentation",
    "BadImages",
    "Batches",
    "EvalBatch",
    "EvalDataset",
    "Failure",
    "Finisher",
    "SampleCache",
    "SampleKey",
    "StreamSampler",
    "TrainBatch",
    "TrainDataset",
    "class_by_class",
    "eval_loader",
    "most_bad_images",
    "open_cache",
    "preview",
    "sample_grid",
    "sample_order",
    "sample_views",
    "train_loader",
]


def test_the_public_names_are_exactly_these():
    assert sorted(lt_data.torch.__all__) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_has_a_docstring_of_its_own(name):
    assert (inspect.getdoc(getattr(lt_data.torch, name)) or "").strip()
