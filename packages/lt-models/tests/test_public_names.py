from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import lt_models

NAMES = [
    "Classifier",
    "ClassifierSpec",
    "LoadReport",
    "LtModelsError",
    "ModelCard",
    "ModelConfigError",
    "ModelInput",
    "ModelName",
    "UnknownModelError",
    "WeightsError",
    "build_classifier",
    "check_name",
    "create_classifier",
    "describe_models",
    "freeze",
    "list_models",
    "load_weights",
    "model_input",
    "param_groups",
    "parse_name",
    "set_train_mode",
]


def test_the_public_names_are_exactly_these():
    assert sorted(lt_models.__all__) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_has_a_docstring_of_its_own(name):
    assert (inspect.getdoc(getattr(lt_models, name)) or "").strip()


def loaded_after(code: str) -> set[str]:
    program = f"import sys; {code}; print(*sorted({{'torch', 'timm', 'torchvision'}} & set(sys.modules)))"
    return set(subprocess.check_output([sys.executable, "-c", program], text=True).split())


def test_importing_lt_models_imports_nothing_heavy():
    assert loaded_after("import lt_models") == set()


def test_listing_torchvision_models_does_not_import_timm():
    assert "timm" not in loaded_after("import lt_models; assert lt_models.list_models('torchvision/resnet*')")
