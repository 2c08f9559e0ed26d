"""How many times faster fastsched is than other programs, in turns in one process.

The programs are those of `peers.py` and `landscape_peers.py`, at smaller sizes.
"""

from __future__ import annotations

import sys
from pathlib import Path

from .common import median_ratio, needs

# asv finds this package alone.
sys.path.append(str(Path(__file__).parents[1]))

import peers

ROUNDS = 5


def _require(module):
    if not peers.installed(module):
        raise NotImplementedError(f"{module} is not installed")


class Peers:
    """The noisy quadratic, with the loss recorded after every step."""

    params = (tuple(peers.PEERS),)
    param_names = ("program",)

    def setup(self, name):
        module, make = peers.PEERS[name]
        _require(module)
        self.problem = peers.Problem(512, 2048, 100)
        ours = peers.fastsched_program(self.problem, ())
        self.programs = {"fastsched": ours, name: make(self.problem)}

    def track_ratio(self, name):
        seconds = peers.compare(self.problem, self.programs, ROUNDS)
        return median_ratio(seconds[name], seconds["fastsched"])

    track_ratio.unit = "times fastsched's seconds"


class LandscapePeers:
    """Other landscapes beside JAX's jit(scan)."""

    params = (("LeastSquares", "RandomFeatures(relu)", "Dataset"), (1, 16))
    param_names = ("landscape", "batch_size")

    def setup(self, name, batch_size):
        needs(name.split("(")[0])
        _require("jax")
        import landscape_peers

        self.compare = landscape_peers.compare
        if name == "LeastSquares":
            self.problem = landscape_peers.least_squares(100, batch_size, 1024, 100)
        elif name == "Dataset":
            self.problem = landscape_peers.dataset(5000, 100, batch_size, 1024, 200)
        elif batch_size == 1:
            self.problem = landscape_peers.random_features(250, 250, 1024, 100)
        else:
            raise NotImplementedError("the program in JAX has batches of one sample")

    def track_ratio(self, name, batch_size):
        seconds = self.compare(self.problem, ROUNDS)
        return median_ratio(seconds["JAX"], seconds["fastsched"])

    track_ratio.unit = "times fastsched's seconds"
