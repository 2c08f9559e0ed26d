"""The random numbers alone: the limit of every kernel."""

from __future__ import annotations

import numba
import numpy as np

from fastsched.kernels.device import FASTMATH
from fastsched.kernels.philox import normals_double, normals_single, round_keys
from fastsched.kernels.reduce import LANES

COORDINATES, GROUPS = 1000, 250


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
    """16 million normals on one core."""

    params = ("single", "double")
    param_names = ("precision",)

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
