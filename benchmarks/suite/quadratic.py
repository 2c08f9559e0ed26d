"""Whole runs on the noisy quadratic, by size, precision, momentum and threads."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

import numba
import numpy as np

import fastsched as fs

WORK = 64 * 10**7


def study(dim=1000, trajectories=None, steps=200, momentum=0.0, **options):
    """Return a study of about `WORK` coordinate updates."""
    trajectories = trajectories or max(1, WORK // (dim * steps * 16)) * 16
    h = 1 / np.arange(1, dim + 1)
    landscape = fs.Quadratic(h, noise="hessian", start=fs.Normal())
    optimizer = fs.SGD(fs.Cosine(0.5 * (1 - momentum), steps), momentum=momentum)
    return fs.Study(landscape, optimizer, steps, trajectories, **options)


def check(value):
    """Compare the final loss with the exact second moment, and compile on the way."""
    h = value.landscape.eigenvalues
    xx, xv, vv = np.ones_like(h), np.zeros_like(h), np.zeros_like(h)
    values = value.optimizer.hyperparameters(value.steps)
    for rate, mu in zip(values["lr"], values["momentum"], strict=True):
        # v' = mu v + h x + noise, x' = x - rate v'
        new_vv = mu**2 * vv + 2 * mu * h * xv + h**2 * xx + h
        x_new_v = mu * xv + h * xx
        xx, xv, vv = xx - 2 * rate * x_new_v + rate**2 * new_vv, x_new_v - rate * new_vv, new_vv
    data = fs.run(value, progress=False).data.isel(step=-1)
    z = (float(data["loss"]) - np.sum(h * xx) / 2) / float(data["loss_se"])
    assert abs(z) < 5, z


class Dimension:
    params = (10, 100, 1000, 10_000, 100_000)
    param_names = ("dim",)

    def setup(self, dim):
        self.study = study(dim)
        check(self.study.replace(trajectories=max(64, self.study.trajectories // 10)))

    def time_run(self, dim):
        fs.run(self.study, progress=False)


class Trajectories:
    params = (1000, 10_000, 100_000, 1_000_000)
    param_names = ("trajectories",)

    def setup(self, trajectories):
        self.study = study(10, trajectories, steps=WORK // (10 * trajectories))
        check(self.study)

    def time_run(self, trajectories):
        fs.run(self.study, progress=False)


class Steps:
    params = (100, 1000, 10_000, 100_000)
    param_names = ("steps",)

    def setup(self, steps):
        self.study = study(50, steps=steps)
        check(self.study)

    def time_run(self, steps):
        fs.run(self.study, progress=False)


class Variants:
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

    def time_run(self, variant):
        fs.run(self.study, progress=False)


class Threads:
    params = (1, 2)
    param_names = ("threads",)

    def setup(self, threads):
        self.study = study()
        check(self.study)
        self.before = numba.get_num_threads()
        numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))

    def teardown(self, threads):
        numba.set_num_threads(self.before)

    def time_run(self, threads):
        fs.run(self.study, progress=False)


_FIRST_RESULT = """
import numpy, fastsched as fs
h = 1 / numpy.arange(1, 101)
result = fs.run(fs.Study(fs.Quadratic(h), fs.SGD(0.1), 100, 1000), progress=False)
assert 0 < float(result.data["loss"][-1]) < float(result.data["loss"][0])
"""


class StartUp:
    """Seconds of a new process, from an empty or a filled cache of compiled kernels."""

    def setup(self):
        self.folder = tempfile.TemporaryDirectory()
        self.environment = {**os.environ, "NUMBA_CACHE_DIR": self.folder.name}
        self.run(_FIRST_RESULT)

    def teardown(self):
        self.folder.cleanup()

    def run(self, script, **environment):
        subprocess.run(
            [sys.executable, "-c", script], env={**self.environment, **environment}, check=True
        )

    def time_import(self):
        self.run("import fastsched")

    def time_first_result_warm(self):
        self.run(_FIRST_RESULT)

    def time_first_result_cold(self):
        with tempfile.TemporaryDirectory() as empty:
            self.run(_FIRST_RESULT, NUMBA_CACHE_DIR=empty)


class Memory:
    params = (1000, 1_000_000)
    param_names = ("trajectories",)

    def setup(self, trajectories):
        self.study = study(100, trajectories, steps=20)

    def peakmem_run(self, trajectories):
        check(self.study)
