"""Studies that cover every landscape, optimizer and measure, with all that fit together."""

from __future__ import annotations

import numpy as np

import fastsched as fs

RNG = np.random.default_rng(0)
INPUTS, LABELS = RNG.normal(size=(7, 4)), np.sign(RNG.normal(size=7))
WEIGHTS = RNG.normal(size=4)


def gradient(theta, draws, out):
    """Write the gradient of a quartic bowl."""
    for i in range(len(theta)):
        out[i] = theta[i] ** 3 + draws[i % len(draws)]


def loss(theta):
    """Return the height of a quartic bowl."""
    total = 0.0
    for i in range(len(theta)):
        total += theta[i] ** 4 / 4
    return total


def region(theta):
    """Return whether the first coordinate is small."""
    return abs(theta[0]) < 1.2


# Name: landscape, and the measures that it has besides those of all landscapes.
LANDSCAPES = {
    "quadratic": (
        fs.Quadratic([1.0, 0.5, 0.2, 0.1], 0.7, fs.Normal([1.0, -0.5, 0.3, 1.0], 0.5)),
        (fs.Escape(radius=1.5, center=0.0), fs.Overshoot(axes=[0, 2]), fs.Sharpness()),
    ),
    "least squares": (
        fs.LeastSquares([1.0, 0.5, 0.2], 0.3, fs.Normal(0.5), [0.5, 0.0, -1.0]),
        (fs.Escape(radius=2.0, center=[0.5, 0.0, -1.0]), fs.Overshoot(), fs.Sharpness()),
    ),
    "double well": (
        fs.DoubleWell(3, [0.5, 2.0], [2.0, 0.5, 0.5], start=fs.Normal([-1.0, 0.2, 0.0], 0.3)),
        (fs.Escape(), fs.Basins(), fs.Sharpness()),
    ),
    "wells": (
        fs.Wells(
            [[-1.0, 0.0], [1.0, 0.5], [0.0, 2.0]],
            [[1.0, 2.0], [3.0, 1.0], [0.5, 0.5]],
            [0.0, 0.2, 0.5],
            softness=0.3,
            noise="hessian",
            start=fs.Normal(),
        ),
        (fs.Escape(), fs.Basins(), fs.Sharpness()),
    ),
    "random field": (
        fs.RandomField(2, 6, confinement=0.3, noise=1.5, start=fs.Normal(0.5, 2.0)),
        (fs.Escape(), fs.Basins(), fs.Sharpness()),
    ),
    "linear features": (
        fs.RandomFeatures(np.ones(4), WEIGHTS, 3, label_noise=0.1, start=fs.Normal()),
        (fs.Sharpness(),),
    ),
    "drawn features": (
        fs.RandomFeatures(np.ones(4), WEIGHTS, 3, "linear", start=fs.Normal(), brute_force=True),
        (fs.Overshoot(), fs.Sharpness()),
    ),
    **{
        f"{activation} features": (
            fs.RandomFeatures(np.ones(4), WEIGHTS, 3, activation, 0.1, test_size=50),
            (fs.Escape(radius=1.0, center=0.0), fs.Sharpness()),
        )
        for activation in ("relu", "tanh", "erf", "cos")
    },
    "squared data": (
        fs.Dataset(INPUTS, INPUTS @ WEIGHTS, l2=0.1, start=fs.Normal()),
        (fs.Overshoot(), fs.Sharpness()),
    ),
    "logistic data": (
        fs.Dataset(
            INPUTS,
            LABELS,
            loss="logistic",
            features=3,
            replacement=False,
            l2=0.1,
            start=fs.Normal(),
            test_inputs=INPUTS[:3],
            test_targets=LABELS[:3],
        ),
        (fs.TestLoss(), fs.Sharpness()),
    ),
    "custom": (
        fs.Custom(gradient, loss, dim=3, draws=2, noise=0.1, start=fs.Normal(0.8, 0.3)),
        (fs.Escape(region=region),),
    ),
    "uniform custom": (
        fs.Custom(gradient, loss, dim=3, draws=5, sampler="uniform", start=0.8),
        (fs.Escape(region=region), fs.Overshoot()),
    ),
}

RATE = fs.Cosine(0.2, 8)

OPTIMIZERS = {
    "sgd": fs.SGD(RATE),
    "momentum": fs.SGD(RATE, momentum=0.7, weight_decay=0.01),
    "nesterov": fs.SGD(RATE, momentum=0.7, nesterov=True, velocity="classical"),
    "adam": fs.Adam(RATE),
    "adamw": fs.AdamW(RATE, weight_decay=0.01),
    "sign sgd": fs.SignSGD(RATE, momentum=0.5),
}

COMMON = (fs.Loss(), fs.HittingTime(0.2), fs.Alignment(), fs.Average())


def study(landscape: str, optimizer: str, **changes):
    """Return a small study with all measures that fit, or None where optimizer does not fit."""
    model, measures = LANDSCAPES[landscape]
    rule = OPTIMIZERS[optimizer]
    if model.rotated and not rule.ROTATION_EQUIVARIANT:
        return None
    options = {
        "batch_size": 2 if "data" in landscape or "squares" in landscape else 1,
        "seed": 11,
        "record": [0, 1, 5, 7],
        "trajectories": 5,
        "measures": (*COMMON, *measures),
    }
    return fs.Study(model, rule, 7, **(options | changes))


def all_pairs():
    """Return the names of all landscapes and optimizers that fit."""
    return [(a, b) for a in LANDSCAPES for b in OPTIMIZERS if study(a, b) is not None]
