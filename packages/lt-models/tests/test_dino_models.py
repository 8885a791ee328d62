"""DINOv2 and DINOv3: Meta's names and shapes, from the models' published dimensions, against timm's architectures."""

from __future__ import annotations

import hashlib
import logging

import pytest
import torch
from safetensors.torch import save_file
from timm.layers import resample_abs_pos_embed
from timm.models.convnext import checkpoint_filter_fn as timms_convnext
from timm.models.eva import checkpoint_filter_fn as timms_eva
from timm.models.vision_transformer import checkpoint_filter_fn as timms_vit

from lt_models import ClassifierSpec, ModelConfigError, WeightsError, dinov2_models, dinov3_models
from lt_models.names import parse_name
from lt_models.weights.layouts import META_CONVNEXT, META_DINOV2, META_DINOV3_VIT, has_layout, to_timm
from lt_models.weights.local import load_weights

DINOV2 = {
    # width, blocks, width inside the MLP, gated MLP, millions of parameters
    "vits14": (384, 12, 1536, False, 22.1),
    "vitb14": (768, 12, 3072, False, 86.6),
    "vitl14": (1024, 24, 4096, False, 304),
    "vitg14": (1536, 40, 4096, True, 1136),
}
DINOV3 = {
    # width, blocks, width inside the MLP, gated MLP, biases of queries and values, millions of parameters
    "vitt16": (192, 12, 768, False, True, 5.5),
    "vitt16plus": (192, 12, 1152, False, True, 7.3),
    "vits16": (384, 12, 1536, False, True, 21.6),
    "vits16plus": (384, 12, 1536, True, True, 28.7),
    "vitb16": (768, 12, 3072, False, True, 85.7),
    "vitl16": (1024, 24, 4096, False, True, 303),
    "vitl16-sat493m": (1024, 24, 4096, False, True, 303),
    "vith16plus": (1280, 32, 5120, True, True, 841),
    "vit7b16": (4096, 40, 8192, True, False, 6716),
    "vit7b16-sat493m": (4096, 40, 8192, True, False, 6716),
}
HEADS = {192: 3, 384: 6, 768: 12, 1024: 16, 1280: 20, 4096: 32}
CONVNEXT = {
    # blocks, widths, millions of parameters with the ImageNet classifier that the ConvNeXt paper counts too
    "convnext-tiny": ((3, 3, 9, 3), (96, 192, 384, 768), 28.6),
    "convnext-small": ((3, 3, 27, 3), (96, 192, 384, 768), 50.2),
    "convnext-base": ((3, 3, 27, 3), (128, 256, 512, 1024), 88.6),
    "convnext-large": ((3, 3, 27, 3), (192, 384, 768, 1536), 197.8),
}
Shapes = dict[str, tuple[int, ...]]


def linear(name: str, out: int, into: int, *, bias: bool = True) -> Shapes:
    return {f"{name}.weight": (out, into), **({f"{name}.bias": (out,)} if bias else {})}


def norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def metas_dinov2(model: str) -> Shapes:
    size, _, noreg = model.partition("-")
    width, blocks, inside, gated, _ = DINOV2[size]
    shapes: Shapes = {"cls_token": (1, 1, width), "pos_embed": (1, 1 + 37 * 37, width), "mask_token": (1, width)}
    if not noreg:
        shapes["register_tokens"] = (1, 4, width)
    shapes |= {"patch_embed.proj.weight": (width, 3, 14, 14), "patch_embed.proj.bias": (width,)}
    for i in range(blocks):
        block = f"blocks.{i}"
        shapes |= norm(f"{block}.norm1", width) | linear(f"{block}.attn.qkv", 3 * width, width)
        shapes |= linear(f"{block}.attn.proj", width, width) | {f"{block}.ls1.gamma": (width,)}
        first, second = ("w12", "w3") if gated else ("fc1", "fc2")
        shapes |= norm(f"{block}.norm2", width)
        shapes |= linear(f"{block}.mlp.{first}", 2 * inside if gated else inside, width)
        shapes |= linear(f"{block}.mlp.{second}", width, inside) | {f"{block}.ls2.gamma": (width,)}
    return shapes | norm("norm", width)


def metas_dinov3(model: str) -> Shapes:
    width, blocks, inside, gated, bias, _ = DINOV3[model]
    shapes: Shapes = {"cls_token": (1, 1, width), "storage_tokens": (1, 4, width), "mask_token": (1, width)}
    shapes |= {"patch_embed.proj.weight": (width, 3, 16, 16), "patch_embed.proj.bias": (width,)}
    shapes["rope_embed.periods"] = (width // HEADS[width] // 4,)
    for i in range(blocks):
        block = f"blocks.{i}"
        shapes |= norm(f"{block}.norm1", width) | linear(f"{block}.attn.qkv", 3 * width, width, bias=bias)
        if bias:
            shapes[f"{block}.attn.qkv.bias_mask"] = (3 * width,)
        shapes |= linear(f"{block}.attn.proj", width, width) | {f"{block}.ls1.gamma": (width,)}
        shapes |= norm(f"{block}.norm2", width)
        if gated:
            shapes |= linear(f"{block}.mlp.w1", inside, width) | linear(f"{block}.mlp.w2", inside, width)
            shapes |= linear(f"{block}.mlp.w3", width, inside)
        else:
            shapes |= linear(f"{block}.mlp.fc1", inside, width) | linear(f"{block}.mlp.fc2", width, inside)
        shapes[f"{block}.ls2.gamma"] = (width,)
    if model in ("vit7b16", "vit7b16-sat493m", "vitl16-sat493m"):
        shapes |= norm("local_cls_norm", width)
    return shapes | norm("norm", width)


def metas_convnext(model: str) -> Shapes:
    depths, widths, _ = CONVNEXT[model]
    shapes: Shapes = {"downsample_layers.0.0.weight": (widths[0], 3, 4, 4), "downsample_layers.0.0.bias": (widths[0],)}
    shapes |= norm("downsample_layers.0.1", widths[0])
    for i in range(1, 4):
        shapes |= norm(f"downsample_layers.{i}.0", widths[i - 1])
        shapes[f"downsample_layers.{i}.1.weight"] = (widths[i], widths[i - 1], 2, 2)
        shapes[f"downsample_layers.{i}.1.bias"] = (widths[i],)
    for i, (depth, width) in enumerate(zip(depths, widths, strict=True)):
        for block in (f"stages.{i}.{j}" for j in range(depth)):
            shapes |= {f"{block}.gamma": (width,), f"{block}.dwconv.bias": (width,)}
            shapes |= {f"{block}.dwconv.weight": (width, 1, 7, 7)} | norm(f"{block}.norm", width)
            shapes |= linear(f"{block}.pwconv1", 4 * width, width) | linear(f"{block}.pwconv2", width, 4 * width)
    return shapes | norm("norm", widths[-1]) | norm("norms.3", widths[-1])


OFFICIAL = {
    **{f"dinov2/{model}{end}": metas_dinov2(f"{model}{end}") for model in DINOV2 for end in ("", "-noreg")},
    **{f"dinov3/{model}": metas_dinov3(model) for model in DINOV3},
    **{f"dinov3/{model}": metas_convnext(model) for model in CONVNEXT},
}
LAYOUT = {"dinov2": META_DINOV2, "dinov3": META_DINOV3_VIT, "convnext": META_CONVNEXT}
NOT_TRAINED = (
    ".bias_mask",
    "periods",
    "norms.3.weight",
    "norms.3.bias",
    "local_cls_norm.weight",
    "local_cls_norm.bias",
)


def layout_of(name: str):
    return META_CONVNEXT if "convnext" in name else META_DINOV2 if name.startswith("dinov2") else META_DINOV3_VIT


def build(name: str, *, pretrained: bool = False, image_size=(224, 224), **changes):
    source = dinov2_models if name.startswith("dinov2") else dinov3_models
    spec = ClassifierSpec(model=name, num_classes=3, image_size=image_size, **changes)
    return source.build(parse_name(name), spec, pretrained=pretrained)


def tensors(shapes: Shapes, *, seed: int = 0) -> dict[str, torch.Tensor]:
    """Random weights, and the bias mask that holds the keys' biases at zero."""
    generator = torch.Generator().manual_seed(seed)
    state = {key: torch.randn(shape, generator=generator) * 0.05 for key, shape in shapes.items()}
    for key in state:
        if key.endswith("bias_mask"):
            query, key_, value = torch.ones_like(state[key]).chunk(3)
            state[key] = torch.cat([query, 0 * key_, value])
        elif "norm" in key and key.endswith("weight"):
            state[key] += 1
    return state


def timms_own(name: str, state: dict[str, torch.Tensor], module) -> dict[str, torch.Tensor]:
    convert = timms_convnext if "convnext" in name else timms_vit if name.startswith("dinov2") else timms_eva
    return convert(dict(state), module)


def test_the_names_are_those_of_the_specification():
    assert dinov2_models.names() == [f"{model}{end}" for end in ("", "-noreg") for model in DINOV2]
    assert dinov3_models.names() == [*DINOV3, *CONVNEXT]


@pytest.mark.parametrize("name", OFFICIAL)
def test_every_tensor_of_the_model_comes_from_one_official_tensor_and_none_is_lost(name):
    with torch.device("meta"):
        module = build(name, image_size=(518, 518) if name.startswith("dinov2") else (224, 224)).module
        official = {key: torch.empty(shape) for key, shape in OFFICIAL[name].items()}
    wanted = {key: tuple(value.shape) for key, value in module.state_dict().items()}
    mapped = to_timm(layout_of(name), official)
    assert {key: tuple(value.shape) for key, value in mapped.items()} == wanted
    # Numbers, not only names: all but those for training alone, and the keys' biases, which are held at zero.
    lost = sum(v.numel() for k, v in official.items() if k == "mask_token" or k.endswith(NOT_TRAINED))
    keys = sum(v.numel() // 3 for k, v in official.items() if k.endswith("qkv.bias") and name.startswith("dinov3"))
    position = OFFICIAL[name]["pos_embed"][-1] if "register_tokens" in official else 0
    assert sum(v.numel() for v in mapped.values()) == sum(v.numel() for v in official.values()) - lost - keys - position


@pytest.mark.parametrize("name", OFFICIAL)
def test_the_number_of_parameters_is_the_published_one(name):
    model = name.partition("/")[2].removesuffix("-noreg")
    *_, millions = {**DINOV2, **DINOV3, **CONVNEXT}[model]
    count = sum(torch.Size(shape).numel() for key, shape in OFFICIAL[name].items() if not key.endswith(NOT_TRAINED))
    if model in CONVNEXT:
        count += 1000 * (CONVNEXT[model][1][-1] + 1)
    assert count / 1e6 == pytest.approx(millions, abs=0.06 if millions % 1 else 0.5, rel=0)


@pytest.mark.parametrize("name", OFFICIAL)
def test_exactly_one_layout_claims_the_official_names(name):
    state = dict.fromkeys(OFFICIAL[name], torch.empty(0))
    assert [layout for layout in LAYOUT.values() if has_layout(layout, state)] == [layout_of(name)]


@pytest.mark.parametrize("name", ["dinov2/vits14", "dinov2/vits14-noreg", "dinov3/vitt16", "dinov3/convnext-tiny"])
def test_official_weights_give_what_timms_own_conversion_gives(name, tmp_path):
    state = tensors(OFFICIAL[name])
    torch.save(state, tmp_path / "official.pth")
    # DINOv2 at another size than its own: positions are resampled as well.
    ours, theirs = (build(name, image_size=(112, 224)).module.eval() for _ in range(2))
    report = load_weights(ours, tmp_path / "official.pth", model=name)
    assert (report.missing, report.unexpected, report.mismatched) == ((), (), ())
    theirs.load_state_dict(timms_own(name, state, theirs))
    images = torch.randn(2, 3, 112, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["dinov3/vits16plus", "dinov2/vits14"])
def test_the_official_tensors_can_be_had_back_from_the_model(name):
    state = tensors(OFFICIAL[name])
    mapped = to_timm(layout_of(name), state)
    if name.startswith("dinov2"):
        first = state["pos_embed"][:, :1]
        torch.testing.assert_close(mapped["cls_token"] - first, state["cls_token"])
        assert torch.equal(mapped["pos_embed"], state["pos_embed"][:, 1:])
        assert torch.equal(mapped["reg_token"], state["register_tokens"])
        return
    for i in range(12):
        block = f"blocks.{i}"
        query, value = mapped[f"{block}.attn.q_bias"], mapped[f"{block}.attn.v_bias"]
        bias = torch.cat([query, torch.zeros_like(query), value])
        assert torch.equal(bias, state[f"{block}.attn.qkv.bias"] * state[f"{block}.attn.qkv.bias_mask"])
        for ours, theirs in (("fc1_g", "w1"), ("fc1_x", "w2"), ("fc2", "w3")):
            assert torch.equal(mapped[f"{block}.mlp.{ours}.weight"], state[f"{block}.mlp.{theirs}.weight"])
        assert torch.equal(mapped[f"{block}.gamma_2"], state[f"{block}.ls2.gamma"])


def test_a_gated_mlp_of_dinov2_is_mapped_in_the_order_of_timms_own_conversion():
    # The giant model itself has a billion numbers; its names on a few of them say the same.
    shapes = {key: (2, 2) for key in metas_dinov2("vitg14-noreg") if key.startswith(("blocks.0.", "blocks.39."))}
    state = tensors({**shapes, "mask_token": (1, 2), "pos_embed": (1, 5, 2)})
    theirs = timms_vit({key: value for key, value in state.items() if key != "pos_embed"}, None)
    ours = to_timm(META_DINOV2, state)
    assert {key: value for key, value in ours.items() if key != "pos_embed"}.keys() == theirs.keys()
    assert all(torch.equal(ours[key], value) for key, value in theirs.items())


def test_weights_of_a_training_run_that_counts_blocks_in_chunks_are_mapped():
    state = tensors({"mask_token": (1, 2), "pos_embed": (1, 5, 2), "blocks.0.1.ls1.gamma": (2,), "blocks.3.39.x": (2,)})
    assert set(to_timm(META_DINOV2, state)) == {"pos_embed", "blocks.1.ls1.gamma", "blocks.39.x"}


@pytest.mark.parametrize("name", ["dinov2/vits14", "dinov2/vits14-noreg", "dinov3/vitt16"])
def test_features_are_the_class_token_after_the_final_norm(name):
    backbone = build(name, image_size=(112, 112))
    module = backbone.module.eval()
    images = torch.randn(2, 3, 112, 112)
    with torch.no_grad():
        tokens = module.forward_features(images)
        assert torch.equal(module(images), tokens[:, 0])
        torch.testing.assert_close(tokens[:, 0].mean(dim=1), torch.zeros(2), atol=1e-5, rtol=0)
    assert backbone.num_features == tokens.shape[-1]


def test_features_of_a_convnext_are_the_normed_mean_over_the_image():
    backbone = build("dinov3/convnext-tiny", image_size=(64, 96))
    module = backbone.module.eval()
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        places = module.forward_features(images)
        expected = torch.nn.functional.layer_norm(places.mean(dim=(2, 3)), (768,), eps=1e-6)
        torch.testing.assert_close(module(images), expected)


def test_the_small_models_are_built_as_timm_builds_its_own():
    from timm.models import eva

    own = getattr(eva, "vit_tiny_patch16_dinov3_qkvb", None)
    if own is None:
        pytest.skip("this timm has no ViT-T of its own to compare with")
    theirs, ours = (
        own(num_classes=0, img_size=64, global_pool="token").eval(),
        build("dinov3/vitt16", image_size=(64, 64)),
    )
    ours.module.eval().load_state_dict(theirs.state_dict())
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(ours.module(images), theirs(images))


def test_the_small_models_have_their_published_construction():
    for name, ratio in (("vitt16", 4), ("vitt16plus", 6)):
        module = build(f"dinov3/{name}", image_size=(64, 64)).module
        assert (module.embed_dim, len(module.blocks), module.blocks[0].attn.num_heads) == (192, 12, 3)
        assert module.blocks[0].mlp.fc1.out_features == 192 * ratio
        assert module.reg_token.shape == (1, 4, 192)
        assert module.rope.temperature == 100
        assert torch.equal(module.blocks[0].gamma_1, torch.full((192,), 1e-5))
        assert module.patch_embed.patch_size == (16, 16)
        assert module.norm.eps == 1e-5


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("name", ["dinov2/vits14", "dinov3/vitt16", "dinov3/convnext-tiny"])
def test_any_number_of_channels_is_possible(name, channels):
    module = build(name, image_size=(112, 112), num_channels=channels).module.eval()
    assert module(torch.zeros(1, channels, 112, 112)).shape[0] == 1


def test_every_size_that_is_a_multiple_of_the_patch_fits_and_others_are_told_the_nearest():
    for name, size in (("dinov2/vits14", (140, 98)), ("dinov3/vitt16", (48, 160)), ("dinov3/convnext-tiny", (33, 70))):
        module = build(f"{name}-notpretrained", image_size=size).module.eval()
        assert len(module(torch.zeros(1, 3, *size))) == 1
    with pytest.raises(ModelConfigError, match="224 x 224 and 238 x 238"):
        build("dinov2/vits14", image_size=(225, 224 + 12))
    with pytest.raises(ModelConfigError, match="224 x 224"):
        build("dinov3/vitb16", image_size=(230, 224))
    with pytest.raises(ModelConfigError, match="32 x 32"):
        build("dinov3/convnext-tiny", image_size=(16, 16))


@pytest.mark.parametrize("name", ["dinov2/vits14", "dinov3/vitt16", "dinov3/convnext-tiny"])
def test_stochastic_depth_and_further_arguments_reach_the_model(name):
    assert "drop_prob=0.2" in str(build(name, image_size=(112, 112), drop_path_rate=0.2).module)
    with pytest.raises(ModelConfigError, match="no_such_argument"):
        build(name, image_size=(112, 112), backbone_args={"no_such_argument": 1})


def test_the_input_is_imagenets_and_that_of_satellite_models_their_own():
    assert dinov2_models.model_input("vits14") == dinov3_models.model_input("vitt16")
    satellite = dinov3_models.model_input("vitl16-sat493m")
    assert (satellite.mean, satellite.std) == ((0.430, 0.411, 0.296), (0.213, 0.156, 0.143))
    assert dinov3_models.model_input("vitl16").mean == (0.485, 0.456, 0.406)
    for model in dinov3_models.names():
        assert dinov3_models.model_input(model).image_size == (224, 224)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LIGHTLY_TRAIN_MODEL_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("LIGHTLY_TRAIN_OFFLINE", "1")
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    return tmp_path


def test_official_dinov2_weights_in_the_cache_folder_are_loaded_and_told_with_their_licence(cache, caplog):
    state = tensors(OFFICIAL["dinov2/vits14"])
    torch.save(state, cache / "dinov2_vits14_reg4_pretrain.pth")
    with caplog.at_level(logging.INFO, "lt_models"):
        module = build("dinov2/vits14", pretrained=True).module
    expected = resample_abs_pos_embed(state["pos_embed"][:, 1:], (16, 16), num_prefix_tokens=0)
    torch.testing.assert_close(module.pos_embed, torch.nn.Parameter(expected))
    assert "Apache-2.0" in caplog.text
    sha256 = hashlib.sha256((cache / "dinov2_vits14_reg4_pretrain.pth").read_bytes()).hexdigest()
    assert f"dinov2_vits14_reg4_pretrain.pth, SHA-256 {sha256} (put there before, and not checked" in caplog.text


def test_weights_without_registers_are_not_those_of_the_model_with_them(cache):
    torch.save(tensors(OFFICIAL["dinov2/vits14-noreg"]), cache / "dinov2_vits14_reg4_pretrain.pth")
    with pytest.raises(WeightsError, match="lacks reg_token"):
        build("dinov2/vits14", pretrained=True, image_size=(112, 112))


def test_the_weights_of_dinov3_come_from_the_hub_in_its_own_layout(cache, caplog):
    name = "dinov3/convnext-tiny"
    state = {}
    for key, value in tensors(OFFICIAL[name]).items():
        kind, stage, index, rest = (*key.split(".", 3), "", "")[:4]
        if kind == "downsample_layers":
            state[f"stages.{stage}.downsample_layers.{index}.{rest}"] = value
        elif kind == "stages":
            rest = rest.replace("dwconv", "depthwise_conv").replace("pwconv", "pointwise_conv")
            state[f"stages.{stage}.layers.{index}.{rest.replace('norm.', 'layer_norm.')}"] = value
        elif kind == "norm":
            state[key.replace("norm", "layer_norm")] = value
    save_file(state, cache / "facebook--dinov3-convnext-tiny-pretrain-lvd1689m.safetensors")
    with caplog.at_level(logging.INFO, "lt_models"):
        module = build(name, pretrained=True).module
    assert torch.equal(module.head.norm.bias, state["layer_norm.bias"])
    assert "DINOv3 License" in caplog.text


def test_a_file_that_is_not_metas_is_refused_under_metas_name(cache):
    torch.save({}, cache / "dinov3_vits16_pretrain_lvd1689m-08c60483.pth")
    with pytest.raises(WeightsError, match="not the published file"):
        build("dinov3/vits16", pretrained=True)


@pytest.mark.parametrize("name", [name for name in OFFICIAL if name.startswith("dinov3")])
def test_what_cannot_be_fetched_says_whom_to_ask_and_where_to_put_it(cache, name):
    with pytest.raises(WeightsError) as caught:
        build(name, pretrained=True)
    model = dinov3_models.MODELS[name.partition("/")[2]]
    for told in (model.file, str(cache), f"{name}-notpretrained", "backbone_weights"):
        assert told in str(caught.value)
    if model.architecture:
        assert "ai.meta.com" in str(caught.value)


def test_lightlys_weights_of_the_small_models_are_taken_when_one_has_them(cache):
    state = tensors(OFFICIAL["dinov3/vitt16"])
    torch.save({"model": state}, cache / "dinov3_vitt16_distillationv2.pth")
    module = build("dinov3/vitt16", pretrained=True).module
    assert torch.equal(module.reg_token, state["storage_tokens"])
