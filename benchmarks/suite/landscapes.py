"""Whole runs on every landscape, by batch size."""

from __future__ import annotations

import functools

import numpy as np

import fastsched as fs

from .common import Runs, check_start, needs

POWERS = 1 / np.arange(1, 101)
STEPS = 100


def quartic_gradient(theta, draws, out):
    for i in range(len(theta)):
        out[i] = theta[i] ** 3 + draws[i]


def quartic(theta):
    return np.sum(theta**4) / 4


def rows():
    return np.random.default_rng(0).normal(size=(2000, 50)) * np.sqrt(POWERS[:50])


def wells():
    rng = np.random.default_rng(1)
    return fs.Wells(rng.normal(size=(5, 100)), rng.uniform(0.5, 2, (5, 100)))


# Name: a function that makes the landscape, and the rate.
LANDSCAPES = {
    "LeastSquares": (lambda: fs.LeastSquares(POWERS, label_noise=0.1), 0.05),
    "RandomFeatures(linear)": (lambda: fs.RandomFeatures.power_law(400, 100, 1.0, 0.7), 0.2),
    "RandomFeatures(relu)": (
        lambda: fs.RandomFeatures.power_law(400, 100, 1.0, 0.7, activation="relu"),
        0.2,
    ),
    "Dataset(squared)": (lambda: fs.Dataset(rows(), rows().sum(axis=1)), 0.05),
    "Dataset(logistic, epochs)": (
        lambda: fs.Dataset(rows(), rows().sum(axis=1) > 0, "logistic", replacement=False, l2=0.01),
        0.05,
    ),
    "DoubleWell": (lambda: fs.DoubleWell(100, across=POWERS[1:]), 0.05),
    "Wells": (wells, 0.05),
    "RandomField": (lambda: fs.RandomField(100, 500, noise=0.1), 0.01),
    "Custom": (lambda: fs.Custom(quartic_gradient, quartic, 100, draws=100, start=0.5), 0.05),
}


@functools.cache
def study(name, batch_size):
    needs(name.split("(")[0])
    make, lr = LANDSCAPES[name]
    return fs.Study(
        make(), fs.SGD(lr), STEPS, 1024, batch_size, measures=fs.Loss(()), record=[0, STEPS]
    )


class Landscapes(Runs):
    params = (tuple(LANDSCAPES), (1, 16))
    param_names = ("landscape", "batch_size")

    def setup(self, name, batch_size):
        self.study = study(name, batch_size)
        check_start(self.study)
