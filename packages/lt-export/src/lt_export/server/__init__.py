"""An HTTP server for one exported model. Needs lt-export[server]."""

import lazy_loader

# The public names are those of __init__.pyi; each is imported when it is first used.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
