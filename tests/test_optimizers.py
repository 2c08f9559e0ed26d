"""Every optimizer: trajectory by trajectory against NumPy on each kind of landscape."""

from __future__ import annotations

from dataclasses import is_dataclass

import numpy as np
import pytest

import fastsched as fs
from fastsched.kernels.reference import simulate
from fastsched.spec import Spec

WELLS = [[-1.0, 0.0], [1.0, 0.5]], [[1.0, 2.0], [3.0, 1.0]], [0, 0.2]
LANDSCAPES = {
    "quadratic": fs.Quadratic([1.0, 0.3, 0.1], minimum=0.4, start=fs.Normal(0.5)),
    "least squares": fs.LeastSquares([1.0, 0.3, 0.1], 0.3, target=0.4, start=fs.Normal(0.5)),
    "wells": fs.Wells(*WELLS, softness=0.3, noise=0.5, start=fs.Normal()),
}
RATE = fs.Cosine(0.1, 30)
OPTIMIZERS = {
    "SGD": fs.SGD(RATE, momentum=fs.Linear(0.9, 30), nesterov=True, weight_decay=0.1, decay="lr"),
    "Adam": fs.Adam(RATE, beta1=fs.Linear(0.9, 30)),
    "AdamW": fs.AdamW(RATE, weight_decay=fs.Linear(0.3, 30), decay="schedule"),
    "SignSGD": fs.SignSGD(RATE),
    "SignSGD, momentum": fs.SignSGD(RATE, momentum=fs.Linear(0.9, 30)),
}


PAIRS = [
    (landscape, optimizer)
    if landscape == "quadratic" or optimizer == "AdamW"
    else pytest.param(landscape, optimizer, marks=pytest.mark.slow)
    for landscape in LANDSCAPES
    for optimizer in OPTIMIZERS
]


@pytest.mark.parametrize(("landscape", "optimizer"), PAIRS)
def test_agrees_with_reference(landscape, optimizer):
    study = fs.Study(
        LANDSCAPES[landscape],
        OPTIMIZERS[optimizer],
        steps=22,
        trajectories=1,
        record=np.arange(23),
        precision="double",
    )
    fast = fs.run(study, progress=False)["loss"].values
    slow = simulate(
        study.landscape,
        study.optimizer,
        study.batch_sizes(),
        study.record_steps,
        np.arange(1),
        study.seed,
        study.precision,
    )[:, 0]
    np.testing.assert_allclose(fast, slow, rtol=1e-9)
    assert fast[-1] != fast[0]


@pytest.mark.parametrize(("landscape", "optimizer"), PAIRS)
@pytest.mark.parametrize("distance", [0.0, 1e-25, 1e-18])
def test_starts_at_and_near_a_minimum(landscape, optimizer, distance):
    model = LANDSCAPES[landscape]
    minimum = model.minima().locations[0] if landscape == "wells" else 0.4
    for label_noise in (0.3, 0.0) if landscape == "least squares" else (None,):
        noise = {} if label_noise is None else {"label_noise": label_noise}
        start = model.replace(start=minimum + distance, **noise)
        study = fs.Study(start, OPTIMIZERS[optimizer], 22, 100, 4, precision="double")
        result = fs.run(study, progress=False)
        assert (result["diverged"] == 0).all()
        assert np.isfinite(result["loss"]).all()


def test_single_precision_agrees_with_double():
    """An update in single precision follows that in double to rounding, on average."""
    study = fs.Study(LANDSCAPES["quadratic"], OPTIMIZERS["AdamW"], steps=22, trajectories=4096)
    single, double = (
        fs.run(study.replace(precision=precision), progress=False)["loss"].values
        for precision in ("single", "double")
    )
    np.testing.assert_allclose(single, double, rtol=1e-5)


def test_every_optimizer_is_tried_and_documented():
    public = {c for c in Spec.registry.values() if issubclass(c, fs.Optimizer) and is_dataclass(c)}
    assert public <= {type(optimizer) for optimizer in OPTIMIZERS.values()}
    for cls in public:
        assert "math::" in cls.__doc__ or cls is fs.AdamW
        assert "Source" in cls.__doc__
        assert "Raises" in cls.__doc__
