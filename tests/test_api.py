"""The public API: every name documented and typed."""

from __future__ import annotations

import inspect

import pytest

import fastsched as fs

PUBLIC = {name: getattr(fs, name) for name in fs.__all__ if name != "__version__"}
PUBLIC |= {f"theory.{name}": getattr(fs.theory, name) for name in fs.theory.__all__}


def functions(name, value):
    """Yield the function itself, or the public ones that a class defines."""
    if not inspect.isclass(value):
        yield name, value
        return
    for key, member in vars(value).items():
        if key == "__init__" or not key.startswith("_"):
            if isinstance(member, property):
                member = member.fget
            member = getattr(member, "__func__", getattr(member, "func", member))
            if inspect.isfunction(member):
                yield f"{name}.{key}", member


@pytest.mark.parametrize("name", PUBLIC)
def test_documented(name):
    value = PUBLIC[name]
    assert value.__doc__, name
    documentation = inspect.getdoc(value)
    assert documentation.splitlines()[0].endswith((".", ":", ";")), documentation.splitlines()[0]
    if inspect.isfunction(value) and inspect.signature(value).parameters:
        assert "Parameters\n----------" in documentation


@pytest.mark.parametrize("name", PUBLIC)
def test_typed(name):
    for place, function in functions(name, PUBLIC[name]):
        # Functions of kernels are typed by Numba.
        if function.__module__.startswith("fastsched") and not hasattr(function, "py_func"):
            parameters = inspect.signature(function).parameters.values()
            untyped = [p.name for p in parameters if p.annotation is p.empty and p.name != "self"]
            assert not [p for p in untyped if p != "cls"], place
            assert "return" in function.__annotations__, place


def test_names_are_there_once():
    assert len(set(fs.__all__)) == len(fs.__all__)
    assert all(hasattr(fs, name) for name in fs.__all__)
