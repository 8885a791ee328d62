"""Which models there are."""

from __future__ import annotations


def list_models(pattern: str = "*") -> list[str]:
    """Names that `train_image_classification` accepts, of the installed packages.

    Args:
        pattern: A shell pattern such as `timm/resnet*`; packages that it rules out are not imported.
    """
    import lt_models

    return lt_models.list_models(pattern)
