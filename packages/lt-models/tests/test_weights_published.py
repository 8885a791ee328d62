from __future__ import annotations

import attrs
import pytest
import timm
import torchvision

from lt_models.weights.published import Published, published_on_hub, published_timm, published_torchvision, timm_overlay


@pytest.fixture(autouse=True)
def no_mirror(monkeypatch):
    monkeypatch.delenv("HF_ENDPOINT", raising=False)


def card(model: str) -> dict:
    return timm.get_pretrained_cfg(model).to_dict()


def test_timms_weights_are_the_safetensors_of_the_hub():
    assert published_timm(card("resnet18.a1_in1k")) == Published(
        "timm--resnet18.a1_in1k.safetensors",
        ("https://huggingface.co/timm/resnet18.a1_in1k/resolve/main/model.safetensors",),
        None,
        "apache-2.0",
        model="timm/resnet18.a1_in1k",
    )


def test_a_mirror_of_the_hub_is_honoured(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example/hub/")
    assert published_on_hub("timm/x").urls == ("https://mirror.example/hub/timm/x/resolve/main/model.safetensors",)


def test_revisions_and_other_files_of_the_hub_have_names_of_their_own():
    published = published_on_hub("owner/net@v2/x", "weights/other.pt")
    assert published.urls == ("https://huggingface.co/owner/net/resolve/v2%2Fx/weights/other.pt",)
    assert published.name == "owner--net--other--@v2--x.pt"
    assert published_on_hub("owner/net@v2").name == "owner--net--@v2.safetensors"


def test_every_card_of_timm_that_names_a_file_has_one_with_a_name_of_its_own():
    files: dict[str, tuple[str, ...]] = {}
    for model in timm.list_pretrained():
        of = card(model)
        published = published_timm(of)
        assert (published is not None) == bool(of.get("hf_hub_id") or of.get("url")), model
        if published is not None:
            assert published.licence == (of.get("license") or "unknown")
            assert files.setdefault(published.name, published.urls) == published.urls, model
    assert len(files) > 1000


def test_a_card_without_a_file_has_none():
    assert published_timm({"architecture": "net", "file": "", "license": "mit"}) is None


def test_the_hubs_copy_of_weights_that_began_as_a_jax_archive_is_loaded_as_any_other(tmp_path):
    assert card("vit_base_patch16_224.augreg_in21k")["custom_load"]
    overlay = timm_overlay(card("vit_base_patch16_224.augreg_in21k"), tmp_path / "x.safetensors")
    assert overlay == {"file": str(tmp_path / "x.safetensors"), "custom_load": False}
    assert timm_overlay({"custom_load": True}, tmp_path / "x.npz")["custom_load"]


def test_every_weights_of_torchvision_has_its_checksum_its_model_and_its_licence():
    models = set(torchvision.models.list_models(module=torchvision.models))
    licences = set()
    for model in models:
        for weights in torchvision.models.get_model_weights(model):
            published = published_torchvision(weights)
            assert published.urls == (weights.url,)
            assert published.name == weights.url.rpartition("/")[2]
            assert published.sha256
            assert published.model == f"torchvision/{model}"
            licences.add(published.licence)
    assert licences == {"BSD-3-Clause", "https://github.com/facebookresearch/SWAG/blob/main/LICENSE"}


@pytest.mark.parametrize("sha256", ["f3707", "F37072FD", "not hexadecimal", "0" * 65])
def test_a_checksum_is_at_least_eight_digits(sha256):
    with pytest.raises(ValueError, match="SHA-256"):
        Published("x.pth", (), sha256, "MIT")


def test_published_is_a_value():
    assert attrs.evolve(Published("x.pth", (), None, "MIT")) == Published("x.pth", (), None, "MIT")
