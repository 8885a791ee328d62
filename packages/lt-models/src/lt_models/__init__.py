"""Backbones by name, heads, and pretrained weights.

Importing this package is fast: PyTorch, timm and torchvision are imported when a model of theirs is asked for.
"""

import lazy_loader

# The public names are those of __init__.pyi; each is imported when it is first used.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
