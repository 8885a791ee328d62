"""PyTorch data sets, augmentation and loaders; needs `lt-data[torch]`."""

import importlib.util

import lazy_loader

if importlib.util.find_spec("torch") is None:
    raise ModuleNotFoundError('lt_data.torch needs PyTorch: pip install "lt-data[torch]"', name="torch")

# The public names are those of __init__.pyi; each is imported when it is first used.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
