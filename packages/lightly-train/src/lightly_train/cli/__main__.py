"""`python -m lightly_train.cli`."""

from __future__ import annotations

from lightly_train.cli.program import main

if __name__ == "__main__":
    main()
