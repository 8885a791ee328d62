from __future__ import annotations

import os

# Nothing here may wait for a network: the hub's client gives up at once.
os.environ["HF_HUB_OFFLINE"] = "1"
