"""The parts of the documentation that are made from the code: settings, models, transforms."""

from __future__ import annotations

import re
from typing import Literal

import attrs
import numpy as np
import pytest
from documents import ROOT
from PIL import Image

import lt_data
import lt_models
import models_page
import settings_page
import transforms_page
import transforms_pictures
from lightly_train.cli import train

TERM = re.compile(r"^\[\*\*`(\w+)`\*\*\]\S+ (.+)\n: (.+)$", flags=re.MULTILINE)


@pytest.fixture(scope="module")
def settings() -> dict[str, dict[str, str]]:
    """By heading, then by name: what is said of each setting's type and default."""
    found = {}
    for part in re.split(r"^##+ ", settings_page.settings(), flags=re.MULTILINE)[1:]:
        heading, _, text = part.partition("\n")
        found[heading] = {name: said for name, said, _ in TERM.findall(text)}
    return found


def test_every_option_of_the_command_is_among_the_settings_with_a_sentence(settings):
    options = [option.place for option in train.options() if option is not train.CONFIG]
    assert set(settings["Arguments"]) == {place[0] for place in options}
    for argument in settings["Arguments"]:
        keys = {place[1] for place in options if place[0] == argument and len(place) > 1}
        assert set(settings.get(argument, {})) == keys
    for parent, key in {place[1:] for place in options if len(place) > 2}:
        (alike,) = [heading for heading in settings if parent in heading.split(", ")]
        assert key in settings[alike]


def test_settings_tell_type_range_and_default(settings):
    assert settings["Arguments"]["out"] == "`str` or `Path`, required"
    assert settings["Arguments"]["steps"] == '`int` or `"auto"`, at least 1, default `"auto"`'
    assert settings["model_args"]["lr"] == "`float`, above 0, default `0.0003`"
    assert settings["model_args"]["asymmetric_gammas"] == "list of 2 `float`, at least 0, default `[0, 4]`"
    assert settings["model_args"]["ema_decay"] == "`float` or `None`, from 0 to 0.999999, default `None`"
    assert settings["transform_args"]["random_crop"] == "`dict` or `None`, on by default"
    assert settings["transform_args"]["random_rotate"] == "`dict` or `None`, default `None`"
    assert settings["normalize"]["mean"] == "list of `float`, required"
    assert settings["accuracy"]["topk"] == "list of `int`, at least 1, default `[1, 5]`"


@attrs.frozen(kw_only=True)
class Sharpening:
    """Sharper edges; see https://example.org/paper. A copy (https://example.org/copy).

    Attributes:
        prob: How often; auto: always.
        kind: Which
            filter.
    """

    prob: float | Literal["auto"] = 0.25
    kind: Literal["box", "bell"] = "bell"


@attrs.frozen(kw_only=True)
class Blurring:
    """Softer edges.

    Attributes:
        prob: How often.
    """

    prob: float = 0.5
    radius: int = 1


def test_a_class_of_settings_becomes_its_docstring_and_a_list():
    assert list(settings_page.section("some_args", Sharpening)) == [
        "Sharper edges; see <https://example.org/paper>. A copy (<https://example.org/copy>).",
        '[**`prob`**]{#some-args-prob} `float` or `"auto"`, default `0.25`\n: How often; auto: always.\n\n'
        '[**`kind`**]{#some-args-kind} `"box"` or `"bell"`, default `"bell"`\n: Which filter.',
    ]


def test_a_setting_that_its_class_does_not_describe_is_an_error():
    with pytest.raises(ValueError, match="Blurring does not describe radius"):
        list(settings_page.section("some_args", Blurring))


def test_every_model_is_in_the_list_once_with_what_is_known_of_it():
    rows = re.findall(r"^\| `([^`]+)` \| (.+) \|$", models_page.every_model(), flags=re.MULTILINE)
    assert sorted(name for name, _ in rows) == sorted(lt_models.list_models())
    times = "\u00a0\u00d7\u00a0"
    card = lt_models.describe_models("timm/vit_small_patch16_224")[0]
    tags = [name.partition(".")[2] for name in lt_models.list_models("timm/vit_small_patch16_224.*")]
    cells = f"21.7 | 384 | 224{times}224 | {card.licence} | {', '.join(f'`{tag}`' for tag in tags)}"
    assert dict(rows)["timm/vit_small_patch16_224"] == cells
    assert dict(rows)["dinov2/vits14"] == f"21.6 | 384 | 224{times}224 | Apache-2.0"
    assert "| none published |" in models_page.every_model()


def test_packages_are_counted_whole():
    counts = re.findall(r"^\| `(\w+)` \| (\d+) \| (\d+) \| (\d+) \|", models_page.packages(), flags=re.MULTILINE)
    assert {name: int(count) for name, count, _, _ in counts} == {
        name: len(lt_models.list_models(f"{name}/*")) for name in ("dinov2", "dinov3", "timm", "torchvision")
    }
    published = {name: int(count) for name, _, _, count in counts}
    assert published["timm"] == len(lt_models.list_models("timm/*", pretrained=True))


def test_examples_of_models_are_shown_with_their_weights_and_with_their_inputs():
    shown = models_page.examples() + transforms_page.of_models()
    assert all(shown.count(f"| `{name}` |") == 2 for name in models_page.EXAMPLES)


def test_default_transforms_are_those_of_the_class():
    table = transforms_page.defaults()
    assert "| `random_flip` | `horizontal_prob` 0.5, `vertical_prob` 0 | none |" in table
    assert "| `random_rotate` | off | none |" in table
    assert '| `num_channels` | `"auto"` | as in training |' in table
    keys = {field.name for field in attrs.fields(lt_data.TransformConfig)}
    assert set(re.findall(r"^\| `(\w+)`", table, flags=re.MULTILINE)) == keys - {"val"}


def test_every_picture_of_the_gallery_is_drawn_and_shows_its_transform(tmp_path):
    transforms_pictures.draw(tmp_path)
    wanted = re.findall(rf"\]\({transforms_page.PICTURES}/(\w+)\.jpg\)", transforms_page.gallery())
    assert sorted(wanted) == sorted(file.stem for file in tmp_path.iterdir())
    assert set(transforms_page.random_transforms()) < set(wanted)
    width = transforms_pictures.SIZE[1]
    for name in set(wanted) - {"resize_mode"}:
        strip = np.asarray(Image.open(tmp_path / f"{name}.jpg"), dtype=np.int16)
        plain, *variants = [strip[:, left : left + width] for left in range(0, strip.shape[1], width + 4)]
        assert len(variants) == transforms_pictures.VARIANTS
        assert max(np.abs(plain - one).mean() for one in variants) > 4.0


def test_every_part_that_a_page_asks_for_is_made():
    """Sphinx's own build says the same, in a session of its own."""
    asked = [
        name
        for page in (ROOT / "docs").glob("*.md")
        for name in re.findall(r"^```\{generated\} (\S+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    ]
    made = re.findall(r'^    "([a-z-]+)": \w+_page\.\w+,$', (ROOT / "docs/_ext/generated.py").read_text(), re.MULTILINE)
    assert sorted(asked) == sorted(made)
