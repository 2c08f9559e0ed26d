"""Hostile study files: each is a study, a sweep or a FastschedError, never another exception."""

from __future__ import annotations

import copy
import datetime
import tomllib
from importlib import resources

import numpy as np
import pytest
import tomli_w
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fastsched as fs
from fastsched.spec import Spec
from fastsched.sweep import read


def places(value, found):
    """Append every (container, key) within a document to `found`."""
    keys = value if isinstance(value, dict) else range(len(value) if isinstance(value, list) else 0)
    for key in keys:
        found.append((value, key))
        places(value[key], found)
    return found


WIDE = fs.Study(
    fs.RandomFeatures([1.0, 0.5], [1.0, 1.0], features=3, start=fs.Normal()),
    fs.SGD(
        lr=0.5 * fs.Cosine(0.1, 10).warmup(2).then(fs.Table([0.1, 0.2]), 12).clip(0, 1),
        momentum=fs.OneCycle(0.9, 20) + fs.Triangular(0.0, 0.05, 4),
        weight_decay=fs.MultiStep(0.1, [5, 9]),
        decay="lr",
    ),
    steps=20,
    trajectories=10,
    record=[0, 3, 20],
    measures=(
        fs.Loss(),
        fs.HittingTime(0.1),
        fs.Escape(radius=1.0, center=[0.0, 1.0, 0.0]),
        fs.Overshoot(axes=[0, 2]),
        fs.Alignment(),
        fs.Sharpness(),
        fs.Average("ema", decay=0.9),
    ),
)
SWEPT = fs.sweep(
    WIDE.replace(optimizer=fs.SGD(0.1)),
    {
        "optimizer.lr": {"a": 0.1, "b": fs.Cosine(0.1, 10)},
        "batch_size": [1, 2],
        "steps, measures.1.level": [(20, 0.1), (21, 0.2)],
    },
)
FILES = sorted((resources.files("fastsched") / "examples").iterdir(), key=str)
TEXTS = [*(file.read_text() for file in FILES), WIDE.to_toml(), SWEPT.to_toml()]
STUDIES = [tomllib.loads(text) for text in TEXTS]

NUMBERS = st.one_of(
    st.integers(-3, 40),
    st.sampled_from([2**20, 2**31, 2**32, 2**53, 2**63 - 1, 2**64, -(2**63), 10**30, 10**400]),
    st.sampled_from([0.0, -0.0, 5e-324, 1e-30, 0.5, 1e12, 1e30, 1e200, 1.7e308, -1e30]),
    st.sampled_from([float("nan"), float("inf"), -float("inf")]),
)
NAMES = st.sampled_from([*Spec.registry, "Study", "Nothing", "hessian", "linear", "relu", "tanh"])
TEXT = st.one_of(NAMES, st.text(max_size=8))
DATES = st.sampled_from(
    [datetime.date(2000, 1, 1), datetime.time(1), datetime.datetime(2000, 1, 1)]
)
SCALARS = st.one_of(NUMBERS, TEXT, st.booleans(), DATES)
PARTS = st.sampled_from([box[key] for study in STUDIES for box, key in places(study, [])])
VALUES = st.recursive(
    SCALARS | PARTS.map(copy.deepcopy),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.text(max_size=4), inner, max_size=3),
        NAMES.map(lambda name: {"type": name}),
        st.tuples(NAMES, inner).map(lambda pair: {"type": pair[0], "schedule": pair[1]}),
    ),
    max_leaves=6,
)


@st.composite
def mutated_studies(draw):
    study = copy.deepcopy(draw(st.sampled_from(STUDIES)))
    for _ in range(draw(st.integers(1, 3))):
        container, key = draw(st.sampled_from(places(study, [(study, "steps")])))
        change = draw(st.sampled_from(["replace", "replace", "replace", "drop", "add"]))
        if change == "drop":
            if isinstance(container, list) or key in container:
                del container[key]
        elif change == "add" and isinstance(container, dict):
            container[draw(TEXT)] = draw(VALUES)
        else:
            container[key] = draw(SCALARS | VALUES)
    return tomli_w.dumps(study)


@st.composite
def spliced_texts(draw):
    text = draw(st.sampled_from(TEXTS))
    first = draw(st.integers(0, len(text)))
    last = draw(st.integers(first, min(len(text), first + 40)))
    return text[:first] + draw(st.text(max_size=10)) + text[last:]


DOCUMENTS = st.one_of(
    mutated_studies(), mutated_studies(), mutated_studies(), spliced_texts(), st.text()
)


def check(text):
    try:
        asked = read(text)
    except fs.FastschedError:
        pass
    else:
        assert read(asked.to_toml()) == asked


@settings(max_examples=200, deadline=None)
@given(DOCUMENTS)
def test_hostile_studies(text):
    check(text)


@pytest.mark.slow
@settings(max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(DOCUMENTS)
def test_many_hostile_studies(text):
    check(text)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fs.Escape(radius=1e200), r"radius = 1e\+200: .* at most 1e\+150"),
        (lambda: fs.LeastSquares([1.0], label_noise=1e200), "label_noise = "),
        (lambda: fs.RandomFeatures([1.0], [1.0], 2, label_noise=1e200), "label_noise = "),
        (lambda: fs.Dataset([[1.0], [2.0]], [[], 1], loss="logistic"), "targets = "),
        (lambda: fs.Triangular(0.0, 1.0, 2**63 - 1), "half_cycle = "),
        (lambda: fs.Overshoot(axes=[1e30]), "axes = "),
        (lambda: fs.RandomFeatures([1.0], [1.0], 2**22).model, "lower the number of features"),
        (lambda: fs.RandomFeatures([1e308], [1e308], 2).model, "overflow"),
        (lambda: fs.FeatureMap(2**31)(np.ones((1, 500))), "lower the numbers of inputs or feat"),
        (lambda: fs.RandomField(2**31, 2**31).frequencies, "lower waves or dim"),
    ],
)
def test_what_fuzzing_found(make, message):
    with pytest.raises(fs.FastschedError, match=message):
        make()


def test_a_study_leaves_the_search_for_basins_to_its_run():
    field = fs.RandomField(dim=2, waves=100)
    measures = (fs.Basins(), fs.Escape(), fs.Sharpness())
    fs.Study(field, fs.SGD(0.1), steps=10, trajectories=10, measures=measures)
    assert not {"_drawn", "basins", "sharpness"} & set(vars(field))
