from __future__ import annotations

import html.parser

import attrs
import numpy as np
import pytest
import torch

import lightly_train
from lightly_train.errors import PredictionArgumentError
from lt_data import Classes


@pytest.fixture(scope="module")
def model(trained):
    return lightly_train.load_model(trained.exported_best, device="cpu")


@pytest.fixture(scope="module")
def images(data):
    return sorted(data["val"].glob("*/*.png"))


def test_names_are_those_of_the_classes_in_output_order(model):
    assert model.names == ("red", "green", "blue")


def test_what_was_known_of_the_training_is_kept(model, trained):
    assert model.metrics == trained.best_metrics
    assert model.step == trained.best_step


def test_a_summary_says_what_the_model_is(model):
    text = model.summary()
    backbone = sum(parameter.numel() for parameter in model.classifier.backbone.parameters())
    for part in (
        f"timm/test_resnet-notpretrained, {backbone:,} parameters, {model.classifier.num_features} features",
        f"linear, {3 * model.classifier.num_features + 3:,} parameters",
        "32 x 32 pixels, 3 channels",
        "4: red, 7: green, 9: blue",
        "multiclass",
        "cpu, float32",
        f"{model.step} steps",
        f"val_metric/top1_acc_micro {model.metrics['val_metric/top1_acc_micro']:.4g}",
    ):
        assert part in text
    assert "decoding" not in text


def test_a_model_that_was_not_loaded_from_a_file_says_nothing_of_its_training(model):
    bare = lightly_train.ImageClassification(model.classifier, model.task)
    assert (bare.metrics, bare.step) == ({}, None)
    assert "trained for" not in bare.summary()
    assert "validation" not in bare.summary()


def test_a_name_with_a_comma_is_in_quotes_apart_from_its_id(model):
    classes = Classes((0, 1, 2), ("A", "B, round", "C"))
    named = lightly_train.ImageClassification(model.classifier, attrs.evolve(model.task, classes=classes))
    assert "(0: A, 1: 'B, round', 2: C)" in named.summary()


def test_in_a_notebook_names_of_classes_are_text_and_nothing_else(model):
    classes = Classes((0, 1, 2), ("<script>alert(1)</script>", "a & b", "'\">"))
    hostile = lightly_train.ImageClassification(model.classifier, attrs.evolve(model.task, classes=classes))

    class Reader(html.parser.HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.tags, self.text = set(), ""

        def handle_starttag(self, tag, attributes):
            self.tags.add(tag)

        def handle_data(self, data):
            self.text += data

    reader = Reader()
    reader.feed(hostile._repr_html_())
    assert reader.tags == {"table", "caption", "tr", "th", "td"}
    assert all(name in reader.text for name in classes.names)


def test_embeddings_are_what_the_head_gets(model, images):
    features = model.embed(images)
    assert features.dtype == np.float32
    assert features.shape == (12, model.classifier.num_features)
    with torch.no_grad():
        scores = model.classifier.head(torch.from_numpy(features)).softmax(dim=1).numpy()
    np.testing.assert_allclose(scores, model.scores(images), atol=1e-6, rtol=0)


def test_embeddings_do_not_depend_on_the_batch_or_on_how_an_image_is_given(model, images):
    features = model.embed(images, batch_size=12)
    np.testing.assert_allclose(model.embed(images, batch_size=5), features, atol=1e-5, rtol=0)
    contents = [path.read_bytes() for path in images]
    assert np.array_equal(model.embed(contents, batch_size=12), features)
    assert model.embed([]).shape == (0, model.classifier.num_features)


def test_embedding_leaves_a_model_in_training_mode_as_it_was(model, images):
    model.train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.embed(images)
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    model.eval()


def test_a_single_image_or_a_batch_of_no_size_is_refused(model, images):
    for single in (images[0], str(images[0]), images[0].read_bytes()):
        with pytest.raises(PredictionArgumentError, match="list of images"):
            model.embed(single)
    with pytest.raises(PredictionArgumentError, match="batch_size"):
        model.embed(images, batch_size=0)


def test_prepare_and_run_are_the_halves_of_scores(model, images):
    prepared = [model.prepare(image) for image in images]
    assert prepared[0].shape == (3, 32, 32)
    assert np.array_equal(model.run(prepared), model.scores(images))
    assert model.run([]).shape == (0, 3)
