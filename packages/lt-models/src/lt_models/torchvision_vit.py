"""Torchvision's vision transformers, for images of any multiple of their patch."""

from __future__ import annotations

import torch
from torch import nn
from torchvision.models import VisionTransformer

from lt_models.weights.positions import resample_positions


def class_token(module: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Class token after the final norm, float of shape (N, F), as the model's own classifier sees it."""
    return tokens(module, images)[:, 0]


def mean_of_patches(module: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Mean of the patches after the final norm, float of shape (N, F)."""
    return tokens(module, images)[:, 1:].mean(dim=1)


def class_token_and_mean(module: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Class token and mean of the patches, float of shape (N, 2 F)."""
    found = tokens(module, images)
    return torch.cat([found[:, 0], found[:, 1:].mean(dim=1)], dim=1)


def tokens(module: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Class token and patches after the final norm, float of shape (N, 1 + patches, F).

    The module's own forward pass insists on square images of the size that it was built for.
    """
    assert isinstance(module, VisionTransformer)
    patches = module.conv_proj(images).flatten(2).transpose(1, 2)
    sequence = torch.cat([module.class_token.expand(images.shape[0], -1, -1), patches], dim=1)
    encoded: torch.Tensor = module.encoder(sequence)
    return encoded


def resize_positions(module: VisionTransformer, size: tuple[int, int]) -> None:
    """Interpolate the position embeddings, a square grid and the class token's, for images of another size."""
    grid = (size[0] // module.patch_size, size[1] // module.patch_size)
    # Torchvision's own `image_size` is one number; `load_weights` asks for the grid.
    module.grid_size = grid
    old = module.encoder.pos_embedding
    if old.shape[1] != 1 + grid[0] * grid[1] or grid[0] != grid[1]:
        resized = resample_positions(old.detach(), grid, prefix=1)
        assert resized is not None
        module.encoder.pos_embedding = nn.Parameter(resized)
