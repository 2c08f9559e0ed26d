"""An example of every class of schedules."""

from __future__ import annotations

import pytest

from fastsched import schedules as fs


def cube(t: int) -> float:
    return float(t**3)


EXAMPLES: dict[str, fs.Schedule] = {
    "Constant": fs.Constant(0.1),
    "StepDecay": fs.StepDecay(0.1, every=3, factor=0.5),
    "MultiStep": fs.MultiStep(0.1, [2, 5, 5], factor=0.3),
    "Exponential": fs.Exponential(0.1, gamma=0.9),
    "Polynomial": fs.Polynomial(0.1, steps=7, power=2.0, final=0.01),
    "Linear": fs.Linear(0.1, steps=7, final=-0.2),
    "InverseTime": fs.InverseTime(0.1, beta=3.0),
    "InverseSqrt": fs.InverseSqrt(0.1, beta=3.0),
    "PowerLaw": fs.PowerLaw(0.1, exponent=0.75, timescale=10.0),
    "Cosine": fs.Cosine(0.1, steps=7, final=0.01),
    "Triangular": fs.Triangular(0.1, 0.3, half_cycle=3, mode="exp_range", gamma=0.9),
    "WarmRestarts": fs.WarmRestarts(0.1, period=2.5, multiplier=1.5, final=0.01, decay=0.9),
    "OneCycle": fs.OneCycle(0.1, steps=20, warmup=0.4, start_factor=0.1, shape="linear"),
    "WSD": fs.WSD(0.1, steps=20, warmup=3, decay=8, shape="sqrt", final=0.01),
    "Piecewise": fs.Piecewise([2, 5], [0.1, 0.3, 0.2]),
    "Table": fs.Table([0.1, 0.3, 0.2]),
    "Function": fs.Function(cube),
    "Warmup": (fs.Cosine(0.1, 7) + 0.5).warmup(3, start=0.01),
    "Then": (2 * fs.Linear(0.1, 7)).then(fs.Constant(0.1) * fs.Linear(0.2, 4), at=5),
    "Product": 0.5 * (fs.Linear(0.1, 7) + (fs.Constant(0.1) + fs.Cosine(0.1, 3))),
    "Sum": 0.5 + (-1.5 * fs.Cosine(0.1, 7) * (fs.Linear(0.1, 7) * fs.Constant(2.0))),
    "Clip": (fs.Linear(0.1, 7) * 3).clip(0.05, 0.2),
}
STORABLE = {name: s for name, s in EXAMPLES.items() if name != "Function"}
NAMES = {**vars(fs), "cube": cube}

every_example = pytest.mark.parametrize("name", EXAMPLES)
every_storable = pytest.mark.parametrize("name", STORABLE)
