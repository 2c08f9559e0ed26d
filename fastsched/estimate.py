"""What a run will take, before it starts."""

from __future__ import annotations

import time
from typing import NamedTuple

from fastsched.devices import chosen_gpus
from fastsched.plan import planned
from fastsched.study import Study
from fastsched.sweep import Sweep


class Estimate(NamedTuple):
    """What a run takes.

    Attributes
    ----------
    updates : int
        Coordinate updates: trajectories x coordinates x steps.
    bytes : int
        Memory of states, work space and recorded numbers.
    seconds : float
        Wall time of the kernels, from the rate of a calibrating call.
    """

    updates: int
    bytes: int
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.updates:.3g} updates, about {self.seconds:.3g} s and "
            f"{self.bytes / 2**20:.3g} MiB"
        )


def estimate(asked: Study | Sweep, device: str = "auto") -> Estimate:
    """Return what a run takes; see `Study.estimate`."""
    plan = planned(asked, chosen_gpus(device, None))
    runner = plan.runner()
    blocks = list(plan.blocks())
    seconds = 0.0
    done: list[int] = []
    # The first call compiles the kernel.
    for _ in range(2):
        done.clear()
        started = time.perf_counter()
        runner.run(0, blocks[0].first_tile, blocks[0].count, lambda: not done, done.append)
        seconds = time.perf_counter() - started
    calls = plan.work / sum(done)
    return Estimate(
        updates=asked.trajectories * sum(m.landscape.dim * m.steps for m in asked.members),
        bytes=plan.memory,
        seconds=seconds * calls / min(plan.workers, len(blocks)),
    )
