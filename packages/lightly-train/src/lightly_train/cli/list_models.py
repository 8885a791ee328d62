"""`lightly-train list-models`."""

from __future__ import annotations

from lightly_train.cli.printing import print_error


def list_models(pattern: str = "*") -> int:
    """Print the names of models, one a line.

    Args:
        pattern: A shell pattern such as 'timm/resnet*'.
    """
    from lightly_train.models import list_models

    names = list_models(pattern)
    if not names:
        print_error(f"no model matches {pattern!r}; `lightly-train list-models 'timm/resnet*'` shows how patterns look")
        return 2
    print("\n".join(names))
    return 0
