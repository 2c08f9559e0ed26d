"""Exact theory: moments of every coordinate, jumps over constant stretches, quantiles."""

from __future__ import annotations

import numpy as np

import fastsched as fs
from fastsched.theory import LossLaw
from fastsched.theory.exact import linear_dynamics, loss_moments


class Moments:
    """d = 10,000 and T = 20,000 under a changing rate: every step is taken."""

    params = (0.0, 0.9)
    param_names = ("momentum",)

    def setup(self, momentum):
        h = 1 / np.arange(1, 10_001)
        optimizer = fs.SGD(fs.Cosine(0.5 * (1 - momentum), 20_000), momentum)
        study = fs.Study(fs.Quadratic(h, noise="hessian"), optimizer, 20_000, 1, record=[20_000])
        self.dynamics, self.record = linear_dynamics(study), study.record_steps
        # The mean of a coordinate is a product, without momentum.
        if momentum == 0:
            last = fs.exact(study.replace(measures=fs.Loss(())))["theta_mean"].values[0, :3]
            rates = optimizer.hyperparameters(20_000)["lr"]
            exact = np.prod(1 - rates[:, None] * h[:3], axis=0)
            assert np.allclose(last, exact, rtol=1e-9, atol=1e-300)
        self.time_loss_moments(momentum)

    def time_loss_moments(self, momentum):
        loss_moments(self.dynamics, None, self.record)


class MillionEqualSteps:
    def setup(self):
        study = fs.Study(fs.Quadratic([1.0]), fs.SGD(0.1), 10**6, 1, record=[10**6])
        self.dynamics, self.record = linear_dynamics(study), study.record_steps
        assert np.isclose(self.time_loss_moments(), 0.05 / 1.9, rtol=1e-12)

    def time_loss_moments(self):
        return loss_moments(self.dynamics, None, self.record)[0][0]


class Quantiles:
    params = (10, 1000)
    param_names = ("dim",)

    def setup(self, dim):
        self.law = LossLaw(1 / np.arange(1, dim + 1), np.zeros(dim), np.ones(dim))
        x = self.time_quantiles(dim)
        assert np.allclose(self.law.cdf(x), [0.05, 0.5, 0.95], rtol=1e-9)

    def time_quantiles(self, dim):
        return self.law.quantile([0.05, 0.5, 0.95])
