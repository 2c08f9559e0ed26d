"""What a run will take, before it starts."""

from __future__ import annotations

import time
from typing import NamedTuple

from fastsched.devices import chosen_gpus
from fastsched.plan import Block, Runner, planned
from fastsched.study import Study
from fastsched.sweep import Sweep


class Estimate(NamedTuple):
    """What a run takes.

    Attributes
    ----------
    updates : int
        Coordinate updates: trajectories x coordinates x steps, of a sweep summed over members.
    bytes : int
        Memory of the arrays that the kernels are fed with, states, work space, recorded numbers
        and, on the processor, differences of pairs.
    seconds : float
        Wall time of the kernels, from the rate of a calibrating call of each; statistics, and in
        sweeps the differences of pairs, come on top.
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
    first = blocks[0]
    seconds, rates = 0.0, dict[tuple[str, int], float]()
    for number, member in enumerate(asked.members):
        kind = plan.feed(number).kernel.__name__, member.landscape.dim
        if kind not in rates:
            rates[kind] = _rate(runner, number, first)
        seconds += plan.tiles * plan.member_work(member) / rates[kind]
    return Estimate(
        updates=asked.trajectories * sum(m.landscape.dim * m.steps for m in asked.members),
        bytes=plan.memory,
        seconds=seconds / min(plan.workers, len(blocks)),
    )


def _rate(runner: Runner, member: int, block: Block) -> float:
    """Return the updates a second of a call of a member's kernel."""
    done: list[int] = []
    seconds = 0.0
    # The first call compiles the kernel.
    for _ in range(2):
        done.clear()
        started = time.perf_counter()
        runner.run(member, block.first_tile, block.count, lambda: not done, done.append)
        seconds = time.perf_counter() - started
    return sum(done) / seconds
