"""What holds for every schedule: text forms, copies, kinds of steps, what follows its end."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import tomllib
from typing import Any

import numpy as np
import pytest
import tomli_w
from helpers import close

from fastsched import schedules as fs
from fastsched.errors import FastschedError
from fastsched.spec import Spec, from_dict

from .examples import EXAMPLES, NAMES, STORABLE, every_example, every_storable


def test_every_schedule_class_has_an_example() -> None:
    concrete = {
        name
        for name, cls in Spec.registry.items()
        if issubclass(cls, fs.Schedule)
        and cls.__module__.startswith(fs.__name__)
        and "__dataclass_params__" in vars(cls)
    }
    assert concrete == set(EXAMPLES)
    assert all(type(s).__name__ == name for name, s in EXAMPLES.items())


@every_example
def test_docstring_has_formula_source_and_example(name: str) -> None:
    cls = type(EXAMPLES[name])
    text = cls.__doc__ or ""
    for part in (".. math::", "Parameters\n", "Raises\n", "Notes\n", "Examples\n", ">>> "):
        assert part in text, part
    undocumented = [f.name for f in dataclasses.fields(cls) if f"{f.name}" not in text]
    assert not undocumented


@every_example
def test_repr_evaluates_to_an_equal_schedule(name: str) -> None:
    s = EXAMPLES[name]
    again = eval(repr(s), dict(NAMES))
    assert again == s
    assert hash(again) == hash(s)
    assert repr(again) == repr(s)


@every_storable
def test_toml_round_trip(name: str) -> None:
    s = STORABLE[name]
    text = tomli_w.dumps({"lr": s.to_dict()})
    again = from_dict(tomllib.loads(text)["lr"], fs.Schedule, "lr")  # type: ignore[type-abstract]
    assert again == s
    assert again.digest() == s.digest()
    assert again.values(30).tolist() == s.values(30).tolist()


@every_example
def test_copies_are_equal(name: str) -> None:
    s = EXAMPLES[name]
    assert copy.deepcopy(s) == s
    assert pickle.loads(pickle.dumps(s)) == s
    assert s.replace() == s


def test_different_schedules_are_different() -> None:
    assert len(set(EXAMPLES.values())) == len(EXAMPLES)
    for s in EXAMPLES.values():
        assert sum(other == s for other in EXAMPLES.values()) == 1
    assert fs.Linear(1.0, 10) != fs.Linear(1.0, 11)
    assert fs.Table([1.0, 2.0]) != fs.Table([1.0, 3.0])
    assert fs.WSD(1.0, 10, warmup=2) != fs.WSD(1.0, 10, warmup=3)
    assert fs.Linear(1, 1e1) == fs.Linear(1.0, 10)


@every_example
def test_scalars_arrays_and_values_agree(name: str) -> None:
    s = EXAMPLES[name]
    one_by_one = [s(t) for t in range(24)]
    assert all(type(value) is float for value in one_by_one)
    values = s.values(24)
    assert values.dtype == np.float64
    assert values.tolist() == one_by_one
    grid = s(np.arange(24, dtype=np.uint8).reshape(2, 3, 4))
    assert grid.shape == (2, 3, 4)
    assert grid.ravel().tolist() == one_by_one
    assert s([5, 1]).tolist() == [one_by_one[5], one_by_one[1]]
    assert s(np.int32(5)) == one_by_one[5]
    assert s.values(0).shape == s(np.array([], dtype=int)).shape == (0,)


@every_example
@pytest.mark.parametrize(
    "t", [-1, np.array([3, -1]), 1.0, np.array([0.0]), True, "1", None, [[1], 2]]
)
def test_steps_are_non_negative_integers(name: str, t: Any) -> None:
    with pytest.raises(FastschedError, match="t must be an integer or an array of integers"):
        EXAMPLES[name](t)


@every_example
def test_composes_with_everything(name: str) -> None:
    s = EXAMPLES[name]
    values = s.values(20)
    close(s.warmup(4).values(24)[4:], values)
    close((2 * s).values(20), 2 * values)
    close((s + s).values(20), 2 * values)
    assert eval(repr(2 * s.warmup(4)), dict(NAMES)) == 2 * s.warmup(4)


@pytest.mark.parametrize(
    ("s", "end"),
    [
        (fs.MultiStep(1.0, [3, 10]), 10),
        (fs.Polynomial(1.0, 10, power=3.0, final=0.2), 10),
        (fs.Linear(1.0, 10, final=0.2), 10),
        (fs.Cosine(1.0, 10, final=0.2), 10),
        (fs.OneCycle(1.0, 11), 10),
        (fs.WSD(1.0, 10, warmup=2, decay=4, final=0.2), 10),
        (fs.WSD(1.0, 10, warmup=2, decay=4, shape="exponential", final=0.2), 10),
        (fs.WSD(1.0, 10, warmup=2), 10),
        (fs.Piecewise([10], [1.0, 0.2]), 10),
        (fs.Table(np.linspace(1.0, 0.2, 11)), 10),
        (fs.Linear(1.0, 6).warmup(4), 10),
        (fs.Linear(1.0, 6).then(fs.Linear(3.0, 5), at=5), 10),
    ],
    ids=repr,
)
def test_holds_the_final_value(s: fs.Schedule, end: int) -> None:
    after = s(np.array([end, end + 1, end + 2, 1000 * end, 10**15]))
    assert np.all(after == after[0])
