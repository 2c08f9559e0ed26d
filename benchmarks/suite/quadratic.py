"""Whole runs on the noisy quadratic, by size, precision, momentum, records and threads."""

from __future__ import annotations

import numba
import numpy as np

import fastsched as fs

from .common import WORK, Runs, check, study


class Dimension(Runs):
    params = (10, 100, 1000, 10_000, 100_000)
    param_names = ("dim",)

    def setup(self, dim):
        self.study = study(dim)
        check(self.study.replace(trajectories=max(64, self.study.trajectories // 10)))


class Trajectories(Runs):
    params = (1000, 10_000, 100_000, 1_000_000)
    param_names = ("trajectories",)

    def setup(self, trajectories):
        self.study = study(10, trajectories, steps=WORK // (10 * trajectories))
        check(self.study)


class Steps(Runs):
    params = (100, 1000, 10_000, 100_000)
    param_names = ("steps",)

    def setup(self, steps):
        self.study = study(50, steps=steps)
        check(self.study)


class Variants(Runs):
    params = (("plain", "momentum", "double", "every step", "every step, no quantiles"),)
    param_names = ("variant",)

    def setup(self, variant):
        every = np.arange(201)
        options = {
            "plain": {},
            "momentum": {"momentum": 0.9},
            "double": {"precision": "double"},
            "every step": {"record": every},
            "every step, no quantiles": {"record": every, "measures": fs.Loss(())},
        }
        self.study = study(512, **options[variant])
        check(self.study)


class Threads(Runs):
    params = (1, 2)
    param_names = ("threads",)

    def setup(self, threads):
        self.study = study()
        check(self.study)
        self.before = numba.get_num_threads()
        numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))

    def teardown(self, threads):
        numba.set_num_threads(self.before)
