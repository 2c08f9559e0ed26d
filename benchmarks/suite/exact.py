"""Exact theory: moments of every coordinate, jumps over constant stretches, quantiles."""

from __future__ import annotations

import functools

import numpy as np

import fastsched as fs

from .common import exact_loss, needs, study


@functools.cache
def prepared(value, truth):
    """Return the moments' function and its arguments for a study, once its answer is right."""
    needs("exact")
    from fastsched.theory.exact import linear_dynamics, loss_moments

    arguments = linear_dynamics(value), None, value.record_steps
    assert np.isclose(loss_moments(*arguments)[0][0], truth(value), rtol=1e-9)
    return loss_moments, arguments


class Moments:
    """d = 10,000 and T = 20,000 under a changing rate: every step is taken."""

    params = (0.0, 0.9)
    param_names = ("momentum",)

    def setup(self, momentum):
        whole = study(10_000, 1, 20_000, momentum, record=[20_000])
        self.moments, self.arguments = prepared(whole, exact_loss)

    def time_loss_moments(self, momentum):
        self.moments(*self.arguments)


def stationary(value):
    """Return the loss at which SGD with a constant rate settles on x^2/2 with noise 1."""
    rate = value.optimizer.hyperparameters(1)["lr"][0]
    return rate / (2 * (2 - rate))


class MillionEqualSteps:
    def setup(self):
        value = fs.Study(fs.Quadratic([1.0]), fs.SGD(0.1), 10**6, 1, record=[10**6])
        self.moments, self.arguments = prepared(value, stationary)

    def time_loss_moments(self):
        self.moments(*self.arguments)


class Quantiles:
    params = (10, 1000)
    param_names = ("dim",)

    def setup(self, dim):
        needs("exact")
        from fastsched.theory import LossLaw

        self.law = LossLaw(1 / np.arange(1, dim + 1), np.zeros(dim), np.ones(dim))
        x = self.time_quantiles(dim)
        assert np.allclose(self.law.cdf(x), [0.05, 0.5, 0.95], rtol=1e-9)

    def time_quantiles(self, dim):
        return self.law.quantile([0.05, 0.5, 0.95])
