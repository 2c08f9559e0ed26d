"""Run small studies in Numba's simulator of a GPU, and compare them with the definitions.

Started by `test_simulator.py` in a process of its own, because the simulator is chosen by an
environment variable before Numba is imported.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading

import numpy as np
import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(__file__)))

from measures.naive import BY_DEFINITION, KNOWN_HESSIANS, check, expected

import fastsched as fs
from fastsched import gpu_plan, workers
from fastsched.kernels import cuda as cuda_kernels
from fastsched.kernels.teams import BLOCK, WARP
from fastsched.progress import Bar
from gpu.examples import LANDSCAPES, OPTIMIZERS, study

run = importlib.import_module("fastsched.run")
chosen: list[int] = []
WIDE = fs.Quadratic([1.0, 0.5, 0.2, 0.1, 0.05], start=fs.Normal(1.0, 0.1))


def by_definition(landscape: str) -> None:
    """Compare with plain NumPy, with every optimizer."""
    for optimizer in OPTIMIZERS:
        case = study(landscape, optimizer, precision="double")
        if case is None:
            continue
        hessian = isinstance(case.landscape, KNOWN_HESSIANS)
        known = [
            m
            for m in case.measures
            if type(m) in BY_DEFINITION and (hessian or not isinstance(m, fs.Sharpness))
        ]
        result = fs.run(case, "cuda", progress=False)
        check(result, expected(case.replace(measures=tuple(known))))
        # What has no definition there is compared with the processor by `like_the_processor`.
        others = {"hessian_trace", "hessian_max", "test_loss"} & set(result.data)
        assert all(np.all(np.isfinite(result[name])) for name in others)
        print(landscape, optimizer, "agree")


def like_the_processor(landscape: str) -> None:
    """Compare everything with the CPU's kernel."""
    precisions = [("double", 1e-9)]
    if landscape == "quadratic":
        precisions.append(("single", 1e-4))
    for precision, tolerance in precisions:
        case = study(landscape, "momentum", precision=precision)
        ours = fs.run(case, "cuda", progress=False).data
        theirs = fs.run(case, "cpu", progress=False).data
        assert list(ours) == list(theirs)
        for name in ours:
            np.testing.assert_allclose(
                ours[name], theirs[name], rtol=tolerance, atol=tolerance / 1e3, err_msg=name
            )
        print(landscape, precision, "agree")


def teams() -> None:
    """A trajectory shared by a warp or a block is the same to rounding."""
    for team in (WARP, BLOCK):
        dim = team + 5
        measures = (
            fs.Loss(),
            fs.Average(),
            fs.Alignment(),
            fs.HittingTime(0.2),
            fs.Overshoot(axes=[0, 3]),
            fs.Escape(radius=2 * np.sqrt(dim), center=0.0),
        )
        for landscape in (
            fs.Quadratic(1 / np.arange(1, dim + 1), start=fs.Normal()),
            fs.LeastSquares(1 / np.arange(1, dim + 1) ** 2, 0.3, fs.Normal(0.5)),
        ):
            case = fs.Study(
                landscape,
                fs.SGD(fs.Cosine(0.3, 6), momentum=0.5),
                steps=6,
                trajectories=2,
                batch_size=2,
                record=[0, 1, 4, 6],
                measures=measures,
                precision="double",
            )
            gpu_plan._ENOUGH = 10**9
            assert gpu_plan.team_size(case) == team
            check(fs.run(case, "cuda", progress=False), expected(case))
            gpu_plan._ENOUGH = 1
            assert gpu_plan.team_size(case) == 1
            print(type(landscape).__name__, team, "agree")


def divisions() -> None:
    """The bits do not depend on blocks, launches or GPUs."""
    case = study("quadratic", "momentum", trajectories=70)
    whole = fs.run(case, "cuda", progress=False).data.drop_attrs()
    gpu_plan._RESIDENT, gpu_plan._LONGEST_LAUNCH = 32, 1
    plan = gpu_plan.make_gpu_plan(case, (0,))
    assert plan.tiles_per_block == 2
    assert plan.feed(0).groups_per_call == 1
    assert whole.identical(fs.run(case, "cuda", progress=False).data.drop_attrs())
    # The simulator has one GPU, here under two numbers.
    cuda_kernels.cuda.select_device = chosen.append
    gpu_plan._free_memory = lambda devices: 2.0**30
    two = gpu_plan.make_gpu_plan(case, (0, 1))
    assert two.workers == 2
    lock = threading.Lock()

    def reduced(*arguments):
        with lock:
            return one_block(*arguments)

    one_block, workers._reduced = workers._reduced, reduced
    bar, stop = Bar(lambda updates: None, print), threading.Event()
    with workers.Threads(two, None, stop, bar) as threads:
        merger, error = run._run_blocks(threads, two, stop, bar, None)
    assert error is None
    assert {0, 1} <= set(chosen)
    result = fs.Result.from_statistics(case, merger.total(), merger.trajectories, 0.0)
    assert whole.identical(result.data.drop_attrs())
    print("divisions agree")


def early() -> None:
    """Trajectories stop after their first passages, one by one and in teams, over launches."""
    landscape = fs.Quadratic(1 / np.arange(1, WARP + 6), start=fs.Normal(0.0, 2.0))
    case = fs.Study(
        landscape,
        fs.SGD(0.1),
        steps=40,
        trajectories=12,
        measures=(fs.HittingTime(20.0), fs.Escape(radius=1.0, center=0.0)),
        precision="double",
    )
    theirs = fs.run(case, "cpu", progress=False).data
    assert theirs["hitting_time"] < case.steps
    gpu_plan._LONGEST_LAUNCH = 1
    for enough, team in ((1, 1), (10**9, WARP)):
        gpu_plan._ENOUGH = enough
        assert gpu_plan.team_size(case) == team
        ours = fs.run(case, "cuda", progress=False).data
        for name in theirs:
            np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-12, err_msg=name)
    print("first passages agree")


def sweeps() -> None:
    """Members of a sweep are the studies alone, and their differences those of the processor."""
    case = study("quadratic", "sgd", trajectories=20, precision="double")
    sweep = fs.sweep(
        case, {"optimizer.lr": [0.1, 0.2], "landscape": {"one": case.landscape, "two": WIDE}}
    )
    ours, theirs = fs.run(sweep, "cuda", progress=False), fs.run(sweep, "cpu", progress=False)
    for lr in (0.1, 0.2):
        for landscape in ("one", "two"):
            member = ours.member(lr=lr, landscape=landscape)
            alone = fs.run(member.study, "cuda", progress=False)
            assert member.data.drop_attrs().identical(alone.data.drop_attrs())
    for name in theirs.pairs:
        np.testing.assert_allclose(ours.pairs[name], theirs.pairs[name], rtol=1e-8, atol=1e-11)
    print("sweeps agree")


def messages() -> None:
    """What cannot be is said before anything runs."""
    case = study("quadratic", "sgd")
    for devices in ([1], [0, 0], [], "0", [-1], [0.5]):
        with pytest.raises(fs.FastschedError, match="devices"):
            fs.run(case, "cuda", devices=devices, progress=False)
    with pytest.raises(fs.FastschedError, match="devices"):
        fs.run(case, "cpu", devices=[0], progress=False)
    gpu_plan._free_memory = lambda devices: 1000.0
    with pytest.raises(fs.FastschedError, match="on the GPU"):
        fs.run(case, "cuda", progress=False)
    print("messages agree")


if __name__ == "__main__":
    # The simulator polls its threads: let them have the interpreter soon.
    sys.setswitchinterval(1e-4)
    for name in sys.argv[1:]:
        if name in LANDSCAPES:
            by_definition(name)
        elif name.startswith("cpu "):
            like_the_processor(name[4:])
        else:
            topics = (teams, divisions, messages, early, sweeps)
            {topic.__name__: topic for topic in topics}[name]()
