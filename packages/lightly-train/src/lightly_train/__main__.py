"""`python -m lightly_train`: the command `lightly-train`."""

from __future__ import annotations

from lightly_train.cli import main

if __name__ == "__main__":
    main()
