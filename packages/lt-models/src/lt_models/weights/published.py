"""Which file holds published weights, and where it is published."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import attrs

HUB = "https://huggingface.co"
"""Hugging Face's hub, unless `HF_ENDPOINT` names a mirror."""

HUB_FILE = "model.safetensors"


def _check_name(_: Any, __: Any, name: str) -> None:
    if name in ("", ".", "..") or re.search(r'[/\\:*?"<>|\x00-\x1f]', name) or name != name.strip(" ."):
        raise ValueError(f"{name!r} is not the plain name of a file")


def _check_sha256(_: Any, __: Any, sha256: str | None) -> None:
    if sha256 is not None and not re.fullmatch(r"[0-9a-f]{8,64}", sha256):
        raise ValueError(f"{sha256!r} is not a SHA-256 or the first 8 or more of its hexadecimal digits")


@attrs.frozen
class Published:
    """A file of weights.

    Attributes:
        name: Of the file in the cache folder; never a path.
        urls: Where the same file can be had, tried in this order; empty when it only comes by hand.
        sha256: In hexadecimal, or its first 8 or more digits, as many publishers write them into file names.
        licence: Under which it is published.
        model: Full name of the model it belongs to, with its tag; messages name it.
        hint: How else to get the file, for the error that says it cannot be had.
    """

    name: str = attrs.field(validator=_check_name)
    urls: tuple[str, ...]
    sha256: str | None = attrs.field(validator=_check_sha256)
    licence: str
    model: str = ""
    hint: str = ""


def published_timm(card: Mapping[str, Any]) -> Published | None:
    """The file of a timm card (`PretrainedCfg.to_dict()`), None where the card names no file to fetch.

    Timm prefers the hub to the original address, and safetensors to a pickle; so does this.
    """
    licence = str(card.get("license") or "unknown")
    model = "/".join(("timm", ".".join(str(card[key]) for key in ("architecture", "tag") if card.get(key))))
    if card.get("hf_hub_id"):
        return published_on_hub(str(card["hf_hub_id"]), _safe(card.get("hf_hub_filename")), licence, model=model)
    if card.get("url"):
        return _published_at(str(card["url"]), licence, model)
    return None


def timm_overlay(card: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """`pretrained_cfg_overlay` that makes timm load a fetched file with its own conversion.

    Cards of models that were first published as JAX archives ask for a loader of those; the hub's file needs it not.
    """
    return {"file": str(path), "custom_load": bool(card.get("custom_load")) and path.suffix == ".npz"}


def published_torchvision(weights: Any) -> Published:
    """The file of a member of one of torchvision's enums of weights, such as `ResNet18_Weights.IMAGENET1K_V1`."""
    model = f"torchvision/{type(weights).__name__.removesuffix('_Weights').lower()}"
    return _published_at(str(weights.url), str(weights.meta.get("license", "BSD-3-Clause")), model)


def published_on_hub(
    repository: str, file: str = HUB_FILE, licence: str = "unknown", *, model: str = "", hint: str = ""
) -> Published:
    """A file of a repository on Hugging Face's hub; `owner/name@revision` names a revision.

    The hub tells the SHA-256 of the file when it is asked for it.
    """
    name, _, revision = repository.partition("@")
    url = f"{hub_endpoint()}/{quote(name)}/resolve/{quote(revision or 'main', safe='')}/{quote(file)}"
    stem, suffix = PurePosixPath(file).stem, PurePosixPath(file).suffix
    parts = (name, *([] if file == HUB_FILE else [stem]), *([f"@{revision}"] if revision else []))
    plain = re.sub(r"[^\w.@-]+", "--", "/".join(parts))
    return Published(f"{plain}{suffix}", (url,), None, licence, model=model, hint=hint)


def hub_endpoint() -> str:
    """Address of the hub, without a slash at its end."""
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or HUB


def _published_at(url: str, licence: str, model: str) -> Published:
    name = PurePosixPath(unquote(urlsplit(url).path)).name
    sha256 = re.search(r"-([0-9a-f]{8,64})\.\w+$", name)
    return Published(name, (url,), sha256.group(1) if sha256 else None, licence, model=model)


def _safe(file: Any) -> str:
    """Timm's choice for a file name of a card: the safetensors twin of a pickled file."""
    if not file or file == "pytorch_model.bin":
        return HUB_FILE
    if file == "open_clip_pytorch_model.bin":
        return "open_clip_model.safetensors"
    return str(file)
