"""The examples in the docstrings run, all of them."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import numpy as np
import pytest

import fastsched

MODULES = [m.name for m in pkgutil.walk_packages(fastsched.__path__, "fastsched.")]


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name: str) -> None:
    if name == "fastsched.interop":
        pytest.importorskip("torch")
        pytest.importorskip("optax")
    module = importlib.import_module(name)
    names = {name: getattr(fastsched, name) for name in fastsched.__all__} | {"np": np}
    written = re.findall(
        r"^ *>>> ", Path(module.__file__).read_text(encoding="utf-8"), re.MULTILINE
    )
    assert doctest.testmod(module, extraglobs=names) == (0, len(written))
