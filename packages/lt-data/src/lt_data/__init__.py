"""What an image and a label are: files in, arrays and batches out.

Importing this package is fast: PyTorch is needed only by `lt_data.torch`.
"""

import lazy_loader

# The public names are those of __init__.pyi; each is imported when it is first used.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
