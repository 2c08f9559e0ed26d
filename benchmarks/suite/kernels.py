"""The kernels on one core: random numbers alone, and the loops over a tile's steps."""

from __future__ import annotations

import functools

import numba
import numpy as np

import fastsched as fs
from fastsched.kernels.device import FASTMATH
from fastsched.kernels.philox import normals_double, normals_single, round_keys
from fastsched.kernels.reduce import LANES

from .common import Runs, check_start, needs

COORDINATES, GROUPS = 1000, 250


@functools.cache
def _sum_of(normals):
    @numba.njit(nogil=True, fastmath=set(FASTMATH), error_model="numpy")
    def kernel(total, squares, keys):
        for group in range(GROUPS):
            for i in range(COORDINATES):
                for lane in range(LANES):
                    a, b, c, d = normals(
                        np.uint32(i), np.uint32(group), np.uint32(lane), np.uint32(0), keys
                    )
                    total[lane] += (a + b) + (c + d)
                    squares[lane] += (a * a + b * b) + (c * c + d * d)

    return kernel


class Normals:
    """16 million normals: the limit of every kernel."""

    params = ("single", "double")
    param_names = ("precision",)
    rounds, repeat = Runs.rounds, Runs.repeat

    def setup(self, precision):
        self.kernel = _sum_of(normals_single if precision == "single" else normals_double)
        self.dtype = np.float32 if precision == "single" else np.float64
        self.keys = round_keys(1)
        total, squares = self.run()
        n = 4 * COORDINATES * GROUPS * LANES
        assert abs(total.sum()) < 4 * np.sqrt(n)
        assert abs(squares.sum() / n - 1) < 1e-3

    def run(self):
        total, squares = np.zeros(LANES, self.dtype), np.zeros(LANES, self.dtype)
        self.kernel(total, squares, self.keys)
        return total, squares

    def time_normals(self, precision):
        self.run()


class Tile(Runs):
    """All steps of one tile of trajectories, by the kind of loop: 64 million updates."""

    params = (("separable", "summed", "coupled"), (0.0, 0.9))
    param_names = ("loop", "momentum")

    def setup(self, loop, momentum):
        dim = 400
        h = 1 / np.arange(1, dim + 1)
        if loop == "separable":
            landscape = fs.Quadratic(h, noise="hessian", start=fs.Normal())
        elif loop == "summed":
            needs("LeastSquares")
            landscape = fs.LeastSquares(h, 0.1, start=fs.Normal())
        else:
            needs("Wells")
            landscape = fs.Wells(np.stack([-h, h]), np.stack([h, 2 * h]))
        optimizer = fs.SGD(0.1 * (1 - momentum), momentum)
        self.study = fs.Study(landscape, optimizer, 10_000, LANES, measures=fs.Loss(()))
        check_start(self.study)
