"""Studies as values: records, text form, equality, and what they refuse."""

from __future__ import annotations

import re
from importlib import import_module

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastsched as fs
from fastsched.spec import Spec

study_module = import_module("fastsched.study")


def study(**changes):
    arguments = {
        "landscape": fs.Quadratic([1.0, 0.1]),
        "optimizer": fs.SGD(lr=0.1),
        "steps": 10,
        "trajectories": 5,
    }
    return fs.Study(**{**arguments, **changes})


@given(st.integers(1, 10**7), st.integers(2, 300))
def test_record_steps(steps, record):
    recorded = study(steps=min(steps, 10**4), record=record).record_steps
    steps = min(steps, 10**4)
    assert recorded[0] == 0
    assert recorded[-1] == steps
    assert len(recorded) == min(record, steps + 1)
    assert np.all(np.diff(recorded) > 0)


def test_record_steps_are_log_spaced():
    recorded = study(steps=100_000, record=64).record_steps
    np.testing.assert_allclose(
        recorded[30:], np.geomspace(1, 100_000, 63)[29:], rtol=0.05, atol=0.5
    )


@pytest.mark.parametrize(("record", "recorded"), [([0, 3], [0, 3, 10]), ([10], [10])])
def test_the_last_step_is_always_recorded(record, recorded):
    question = study(record=record)
    assert question.record_steps.tolist() == recorded
    assert question.record.tolist() == record
    assert fs.run(question, progress=False)["step"].values.tolist() == recorded
    assert fs.exact(question)["step"].values.tolist() == recorded


STUDIES = [
    study(),
    study(record=[0, 3, 10], seed=2**64 - 1, precision="double", batch_size=4),
    study(
        landscape=fs.Quadratic(
            [[1.0, 0.2], [0.2, 0.5]], noise="hessian", start=fs.Normal(0.0, 1.0), minimum=[0.1, 0.2]
        ),
        optimizer=fs.SGD(
            lr=0.5 * fs.Cosine(0.1, 10).warmup(2),
            momentum=fs.Linear(0.9, 5),
            weight_decay=0.1,
            decay="lr",
        ),
        batch_size=fs.Piecewise([5], [1, 8]),
        measures=(fs.Loss(quantiles=()),),
    ),
]


@pytest.mark.parametrize("value", STUDIES)
def test_round_trips(value):
    again = fs.Study.from_toml(value.to_toml())
    assert again == value
    assert hash(again) == hash(value)
    assert again.digest() == value.digest()
    names = {**vars(fs), "array": np.array}
    assert eval(repr(value), names) == value


def test_studies_differ():
    assert len({s.digest() for s in STUDIES}) == len(STUDIES)
    assert study() != study(seed=1)
    assert study().replace(seed=1) == study(seed=1)


def test_every_public_description_is_documented():
    for name, cls in Spec.registry.items():
        assert cls.__doc__, name
        assert name.startswith("_") or cls.__module__.startswith("fastsched"), name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"landscape": "quadratic"}, "landscape = 'quadratic': landscape must be a Landscape"),
        ({"optimizer": 0.1}, "optimizer = 0.1: optimizer must be an Optimizer"),
        ({"steps": 0}, "steps = 0: steps must be an integer, at least 1"),
        ({"steps": -5}, "steps = -5"),
        ({"steps": 1.5}, "steps = 1.5"),
        ({"steps": 10**10}, "the study needs .* GiB: lower steps"),
        ({"steps": np.inf}, "steps = inf"),
        ({"steps": True}, "steps = True"),
        ({"trajectories": 0}, "trajectories = 0"),
        ({"trajectories": "many"}, "trajectories = 'many'"),
        ({"trajectories": 2**33}, "trajectories = .* at most"),
        ({"seed": -1}, "seed = -1: seed must be an integer, at least 0"),
        ({"seed": 2**64}, "seed = "),
        ({"batch_size": 0}, "batch_size = 0"),
        ({"batch_size": 2.5}, "batch_size = 2.5"),
        ({"batch_size": fs.Linear(4, 8)}, "batch_size = Linear.* at step 7"),
        ({"record": 1}, "record = 1: record must be an integer, at least 2"),
        ({"record": [0, 11]}, r"record = .* from 0 to steps = 10"),
        ({"record": [-1, 5]}, "record = "),
        ({"record": [0, 5, 5]}, "record = "),
        ({"record": [0, 2.5]}, "record = "),
        ({"record": [0, np.nan]}, "record = "),
        ({"record": []}, "record = "),
        ({"record": "all"}, "record = 'all'"),
        ({"record": ["0", "5"]}, "record = "),
        ({"record": [[0], [1, 2]]}, "record = "),
        ({"record": None}, "record = None"),
        ({"batch_size": 10**400}, "batch_size = "),
        ({"measures": ()}, "measures = "),
        ({"measures": (fs.Loss(), fs.Loss(()))}, "each kind once"),
        ({"measures": "loss"}, "measures = 'loss'"),
        ({"precision": "half"}, "precision = 'half': precision must be one of 'single', 'double'"),
    ],
)
def test_bad_input(changes, message):
    with pytest.raises(fs.FastschedError, match=message):
        study(**changes)


def test_dimension_beyond_memory(monkeypatch):
    monkeypatch.setattr(study_module, "_BYTES_PER_COORDINATE", 2**60)
    with pytest.raises(fs.FastschedError, match="lower the landscape's dimension"):
        study()


def test_unknown_parameter():
    with pytest.raises(fs.FastschedError, match="Study has no parameter 'step'"):
        study().replace(step=5)


TOML = """
steps = 10
trajectories = 5
[landscape]
type = "Quadratic"
curvature = [1.0, 0.1]
[optimizer]
type = "SGD"
lr = {type = "Cosine", initial = 0.1, steps = 10}
"""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("steps = 10\n", "steps = 10\nstep = 3\n", "study has the unknown key 'step'"),
        ("steps = 10\n", "", "study lacks the key 'steps'"),
        ("steps = 10\n", "steps = 10\ntype = 'Study'\n", "study has the unknown key 'type'"),
        ('type = "SGD"', 'type = "SGB"', "study.optimizer.type = 'SGB': must be one of"),
        ('type = "SGD"', 'type = "SGD"\nrate = 1', "study.optimizer has the unknown key 'rate'"),
        ('type = "SGD"', "", "study.optimizer must be a table with the key 'type'"),
        ("initial = 0.1", "start = 0.1", "study.optimizer.lr has the unknown key 'start'"),
        ("steps = 10}", "steps = -10}", "steps = -10"),
        ('type = "Quadratic"', 'type = "SGD"', "landscape"),
        ("[1.0, 0.1]", "[1.0, -0.1]", "curvature .* positive"),
        ("[1.0, 0.1]", "[1.0, 0.1", "not valid TOML"),
        ("steps = 10\n", "steps = {type = 'SGD'}\n", "study.steps must not be a table"),
        ('"Cosine"', '"Normal"', "study.optimizer.lr.type = 'Normal': must be one of Clip"),
    ],
)
def test_bad_toml(old, new, message):
    assert fs.Study.from_toml(TOML).steps == 10
    with pytest.raises(fs.FastschedError, match=message):
        fs.Study.from_toml(TOML.replace(old, new, 1))


def test_names_of_classes_are_taken_once():
    with pytest.raises(fs.FastschedError, match="'Cosine' is the name of a class of"):

        class Cosine(fs.Schedule):
            pass


def test_long_arrays_print_short():
    text = repr(fs.Quadratic(np.ones(5000)))
    assert len(text) < 300
    assert re.search(r"<array of shape \(5000,\)", text)
