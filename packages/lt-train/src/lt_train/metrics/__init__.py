"""Metrics from integer counts, and from whole sets of scores where counts do not do; alike for any number of ranks."""

import lazy_loader

# The public names are those of __init__.pyi; each is imported when it is first used.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
