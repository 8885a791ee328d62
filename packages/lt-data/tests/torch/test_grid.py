from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lt_data import ConfigError, ImageDecodeError, SampleIndex, load_image
from lt_data.torch import class_by_class, preview


@pytest.fixture
def data(tmp_path) -> dict:
    for split in ("train", "val"):
        for name, color in (("red", (200, 30, 30)), ("blue", (30, 30, 200)), ("späte 猫", (30, 200, 30))):
            (tmp_path / split / name).mkdir(parents=True)
            for i in range(2):
                Image.new("RGB", (40, 30), color).save(tmp_path / split / name / f"{i}.png")
    return {"train": tmp_path / "train", "val": tmp_path / "val"}


def test_the_grid_shows_samples_as_validation_and_as_training_see_them(data, tmp_path):
    size = {"image_size": (32, 48), "color_jitter": None}
    file = preview(data, tmp_path / "preview.png", transform_args=size, num_samples=4, num_variants=3)
    with Image.open(file) as image:
        assert image.format == "PNG"
        assert image.width >= 4 * 48
        assert image.height >= 4 * 32
        colors = {color for count, color in image.getcolors(100_000) if count > 500}
        for row in range(4):
            cells = {image.getpixel((4 + 52 * column + 24, 4 + 54 * row + 34)) for column in range(4)}
            assert len(cells) == 1
    assert len(colors - {(255, 255, 255), (0, 0, 0)}) >= 2
    assert colors <= {(200, 30, 30), (30, 30, 200), (30, 200, 30), (255, 255, 255), (0, 0, 0)}


@pytest.mark.parametrize("seed", range(4))
def test_each_class_has_a_row_before_any_has_two(data, tmp_path, seed):
    args = {"image_size": (32, 48), "color_jitter": None}
    file = preview(data, tmp_path / "preview.png", transform_args=args, num_samples=3, num_variants=0, seed=seed)
    with Image.open(file) as image:
        assert {image.getpixel((28, 4 + 54 * row + 34)) for row in range(3)} == {
            (200, 30, 30),
            (30, 30, 200),
            (30, 200, 30),
        }


def test_of_a_multilabel_sample_the_rarest_label_counts_and_none_is_a_class_of_its_own():
    labels = [[0], [0], [0], [0, 2], [0, 1], [], [0, 1], []]
    flat, ends = np.array(sum(labels, []), np.int32), np.cumsum([len(one) for one in labels])
    samples = SampleIndex.from_paths(Path(), [str(i) for i in range(8)], flat, num_classes=3, label_ends=ends)
    for seed in range(5):
        order = class_by_class(samples, seed=seed).tolist()
        assert sorted(order) == list(range(8))
        first = {tuple(labels[sample]) for sample in order[:4]}
        assert first == {(0,), (0, 2), (0, 1), ()}


def test_captions_are_drawn_in_base_letters_and_never_as_boxes(tmp_path):
    def drawn(name, folder):
        for split in ("train", "val"):
            for label in (name, "z"):
                (tmp_path / folder / split / label).mkdir(parents=True)
                Image.new("RGB", (32, 32), (9, 9, 9)).save(tmp_path / folder / split / label / "0.png")
        data = {"train": tmp_path / folder / "train", "val": tmp_path / folder / "val"}
        return load_image(preview(data, tmp_path / f"{folder}.png", num_samples=2, num_variants=1))

    assert np.array_equal(drawn("señal für Straße 猫", "accents"), drawn("senal fur Strasse ?", "plain"))


def test_the_same_seed_gives_the_same_picture(data, tmp_path):
    first, again, other = (
        preview(data, tmp_path / f"{i}.png", num_samples=2, num_variants=2, seed=seed).read_bytes()
        for i, seed in enumerate((1, 1, 2))
    )
    assert first == again
    assert first != other


@pytest.mark.parametrize("channels", [1, 4])
def test_other_numbers_of_channels_can_be_looked_at(data, tmp_path, channels):
    args = {"image_size": (32, 32), "num_channels": channels, "color_jitter": None}
    preview(data, tmp_path / "preview.png", transform_args=args, num_samples=3)
    assert np.ptp(load_image(tmp_path / "preview.png")) == 255


def test_wrong_arguments_are_named_and_nothing_is_written(data, tmp_path):
    with pytest.raises(ConfigError, match="did you mean `image_size`"):
        preview(data, tmp_path / "preview.png", transform_args={"imagesize": (32, 32)})
    assert not (tmp_path / "preview.png").exists()


def test_numbers_and_files_that_make_no_picture_are_named_together(data, tmp_path):
    with pytest.raises(ConfigError) as caught:
        preview(data, tmp_path / "none" / "preview.jpg", num_samples=0, num_variants=-1, seed=-1)
    assert [problem.where for problem in caught.value.problems] == ["num_samples", "num_variants", "seed", "out"]


def test_a_picture_that_cannot_be_written_is_refused_before_the_data_are_read(sealed_folder):
    with pytest.raises(ConfigError) as caught:
        preview({"train": "nowhere", "val": "nowhere"}, f"{sealed_folder}/preview.png")
    assert [problem.where for problem in caught.value.problems] == ["out"]
    assert "cannot be written to" in str(caught.value)


def test_images_that_cannot_be_read_follow_the_policy(data, tmp_path, caplog):
    broken = data["train"] / "red" / "0.png"
    broken.write_bytes(broken.read_bytes()[:-30])
    preview(data, tmp_path / "preview.png", num_samples=6, num_variants=1)
    assert str(broken) in caplog.text
    with pytest.raises(ImageDecodeError):
        preview({**data, "on_bad_image": "error"}, tmp_path / "preview.png", num_samples=6)
