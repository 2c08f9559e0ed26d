"""Sweeps as values: paths, labels, members, text."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import fastsched as fs
from fastsched.spec import spec


def study(**changes):
    options = {
        "steps": 100,
        "trajectories": 64,
        "measures": (fs.Loss(), fs.HittingTime(0.1)),
    }
    return fs.Study(fs.Quadratic([1.0, 0.1]), fs.SGD(lr=0.1), **(options | changes))


MIXED = {
    "optimizer.lr": {"constant": 0.1, "cosine": fs.Cosine(0.1, 100), "half": 0.05},
    "batch_size": [1, 4],
    "steps, measures.1.level": [(100, 0.1), (200, 0.2)],
}


def test_members_are_the_product_in_order():
    sweep = fs.sweep(study(), MIXED)
    assert sweep.dims == ("lr", "batch_size", "steps+level")
    assert sweep.shape == (3, 2, 2)
    assert len(sweep.members) == 12
    first, last = sweep.members[0], sweep.members[-1]
    assert first == study()
    assert last.optimizer.lr == 0.05
    assert (last.batch_size, last.steps, last.measures[1].level) == (4, 200, 0.2)
    assert sweep.members[4].optimizer.lr == fs.Cosine(0.1, 100)
    assert sweep.coordinates["lr"].tolist() == ["constant", "cosine", "half"]
    assert sweep.coordinates["steps"][1].tolist() == [100, 200]


def test_text_round_trips_keep_the_order():
    sweep = fs.sweep(study(), MIXED)
    again = fs.Sweep.from_toml(sweep.to_toml())
    assert again == sweep
    assert again.dims == sweep.dims
    assert again.labels[0].tolist() == ["constant", "cosine", "half"]
    assert again.digest() == sweep.digest()
    assert hash(again) == hash(sweep)
    assert pickle.loads(pickle.dumps(sweep)) == sweep
    assert "'cosine': Cosine(initial=0.1" in repr(sweep)


def test_a_table_in_a_study_file():
    text = study().to_toml() + '[sweep]\nbatch_size = [1, 2]\n"optimizer.momentum" = [0.0, 0.9]\n'
    sweep = fs.Sweep.from_toml(text)
    assert sweep == fs.sweep(study(), {"batch_size": [1, 2], "optimizer.momentum": [0.0, 0.9]})
    named = study().to_toml() + '[sweep."optimizer.lr"]\na = 0.1\nb = {type = "Linear", '
    named += "initial = 0.1, steps = 100}\n"
    assert fs.Sweep.from_toml(named).members[1].optimizer.lr == fs.Linear(0.1, 100)
    with pytest.raises(fs.FastschedError, match=r"fs\.Sweep\.from_toml reads it"):
        fs.Study.from_toml(named)
    with pytest.raises(fs.FastschedError, match=r"no table \[sweep\]"):
        fs.Sweep.from_toml(study().to_toml())


def test_whole_parts_and_their_fields_vary_together():
    optimizers = {"SGD": fs.SGD(0.1), "AdamW": fs.AdamW(0.1)}
    sweep = fs.sweep(study(), {"optimizer": optimizers, "optimizer.lr": [0.2, 0.3]})
    assert sweep.dims == ("optimizer", "lr")
    assert sweep.members[3].optimizer == fs.AdamW(0.3)
    starts = fs.sweep(study(), {"landscape.start": [0.5, fs.Normal()], "seed": np.arange(3)})
    assert starts.labels[0].tolist() == ["0.5", "Normal(mean=0.0, std=1.0)"]
    assert starts.labels[1].tolist() == [0, 1, 2]
    assert starts.members[5].seed == 2


def test_names_that_results_use_are_not_taken():
    rng = np.random.default_rng(0)
    data = fs.Dataset(rng.normal(size=(20, 2)), rng.normal(size=20) > 0, loss="logistic")
    dataset = fs.Study(data, fs.SGD(0.1), 4, 16)
    assert fs.sweep(dataset, {"landscape.loss": ["logistic"]}).dims == ("landscape.loss",)


@spec
class _Paired(fs.Schedule):
    """A schedule with a parameter named like a dimension of results."""

    pair: float

    def _at(self, t):
        return np.full(t.shape, self.pair)


def test_axes_do_not_take_the_names_of_differences():
    asked = study(steps=10).replace(optimizer=fs.SGD(_Paired(0.1)))
    swept = fs.sweep(asked, {"optimizer.lr.pair": [0.1, 0.2]})
    assert swept.dims == ("lr.pair",)
    assert swept.run(progress=False).pairs.sizes["pair"] == 1


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"optimizer.lrr": [1]}, r"optimizer \(SGD\) has no 'lrr'; it has lr, momentum"),
        ({"lr": [1]}, r"the study \(Study\) has no 'lr'; it has landscape"),
        ({"optimizer.lr.initial": [1]}, "optimizer.lr is 0.1, which has no parameter 'initial'"),
        ({"measures.3.level": [1]}, r"measures \(tuple\) has no '3'"),
        ({"trajectories": [1]}, "trajectories cannot vary"),
        ({}, "at least one path"),
        ({"optimizer.lr": 0.1}, "a list of values, or a dict"),
        ({"optimizer.lr": "ab"}, "a list of values, or a dict"),
        ({"optimizer.lr": []}, "at least one value"),
        ({"optimizer.lr": [0.1, -1]}, "the member with optimizer.lr = -1: lr = -1.0"),
        ({"optimizer.lr": [0.1, 0.1]}, "two entries along lr read 0.1"),
        ({"optimizer.lr, steps": [0.1, 2]}, "tuples of 2 values"),
        ({"optimizer.lr": [1], "optimizer.lr, steps": [(1, 2)]}, "more than one axis"),
        ({1: [2]}, "named by paths"),
        ([("optimizer.lr", [0.1])], "a dict of paths with their values"),
        ({"optimizer.lr": np.array(0.1)}, "a list of values, or a dict"),
        ({"optimizer.lr": {"type": 0.1, "b": 0.2}}, 'without the name "type"'),
        ({"seed": np.arange(70_000)}, "at most 65,536 members"),
    ],
)
def test_bad_axes(axes, message):
    with pytest.raises(fs.FastschedError, match=message):
        fs.sweep(study(), axes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sweep = 3", "a table of paths"),
        ("[sweep]\nbatch_size = 3", "a list of values, or a table of names"),
        ('[sweep]\n"optimizer.lr" = {type = "Cosine"}', "a list of values, or a table of names"),
        ("[[sweep]]\nseed = [1]\n[[sweep]]\nseed = [2]", "sweep has 'seed' twice"),
        ('[sweep]\n"optimizer.lr" = [{type = "Cosine"}]', "lacks the key 'initial'"),
    ],
)
def test_bad_text(text, message):
    top = text + "\n" if text.startswith("sweep") else ""
    bottom = "" if top else "\n" + text
    with pytest.raises(fs.FastschedError, match=message):
        fs.Sweep.from_toml(top + study().to_toml() + bottom)


def test_labels_find_members():
    sweep = fs.sweep(study(), {"optimizer.lr": [0.1, 0.2], "batch_size": [1, 4]})
    assert sweep.indices({"batch_size": 4}) == {"batch_size": 1}
    schedules = fs.sweep(study(), {"optimizer.lr": [fs.Cosine(0.1, 100), 0.1]})
    assert schedules.indices(fs.Cosine(0.1, 100)) == {"lr": 0}
    assert fs.sweep(study(), {"optimizer.lr": {0.1: 0.1, 0.2: 0.2}}).indices(0.2) == {"lr": 1}
    seeds = fs.sweep(study(), {"seed": [2**64 - 1, 2**64 - 2, 1]})
    assert seeds.indices(2**64 - 1) == {"seed": 0}
    assert seeds.members[1].seed == 2**64 - 2
    rates = fs.sweep(study(), {"optimizer.lr": np.geomspace(0.01, 1, 4)})
    assert rates.texts[0] == ["0.01", "0.0464159", "0.215443", "1"]
    for where, message in [
        ({"lrr": 0.1}, "axis = 'lrr': axis must be one of lr, batch_size"),
        ({"lr": 0.3}, "lr = 0.3: lr must be a label of that axis: 0.1, 0.2"),
        (0.1, "a dict of labels by axis"),
    ]:
        with pytest.raises(fs.FastschedError, match=message):
            sweep.indices(where)
