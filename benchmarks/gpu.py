"""fastsched on a GPU: right, how fast, how near the chip's limits, and beside JAX on that GPU.

    python benchmarks/gpu.py [--quick] [--rounds 3] [--out table.md]

Needs an NVIDIA GPU and `pip install '.[cuda]'`; JAX takes part where it sees a GPU
(`pip install 'jax[cuda13]'`). Answers are checked before any time is reported: against the exact
moments where theory has them, else against the processor. The table goes to benchmarks/RESULTS.md
with date and device. Two limits are measured in the same run: the rate of Philox normals alone,
which is that of the instructions, and the bandwidth of a copy within the GPU's memory.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from peers import Curves, Problem

import fastsched as fs
from fastsched.devices import chosen_gpus
from fastsched.gpu_plan import make_gpu_plan
from fastsched.kernels import gpu
from fastsched.kernels.philox import STREAM_NOISE, normals_single, round_keys

MAX_Z = 4.5


class Recorded(Problem):
    """The quadratic of `peers`, its mean and standard deviation wanted every so many steps."""

    def __init__(self, dim: int, trajectories: int, steps: int, records: int) -> None:
        super().__init__(dim, trajectories, steps)
        self.every = steps // records
        self.mean, self.std = (
            self.mean[self.every - 1 :: self.every],
            self.std[self.every - 1 :: self.every],
        )

    @property
    def updates(self) -> int:
        return self.dim * self.trajectories * self.steps

    def study(self, seed: int) -> fs.Study:
        return fs.Study(
            fs.Quadratic(self.h, noise="hessian", start=fs.Normal()),
            fs.SGD(self.schedule),
            self.steps,
            self.trajectories,
            seed=seed,
            record=np.arange(self.every, self.steps + 1, self.every),
            measures=fs.Loss(()),
        )


def fastsched_program(problem: Recorded) -> Callable[[int], Curves]:
    def program(seed: int) -> Curves:
        data = fs.run(problem.study(seed), "cuda", progress=False).data
        return data["loss"].values, data["loss_std"].values

    return program


def jax_programs(problem: Recorded) -> dict[str, Callable[[int], Curves]]:
    """Return a scan over steps of all trajectories, and a vmap over trajectories of such scans."""
    import jax
    import jax.numpy as jnp

    h = jnp.asarray(problem.h, jnp.float32)
    rates = jnp.asarray(problem.rates, jnp.float32).reshape(-1, problem.every)

    def losses(shape: tuple[int, ...], key: Any) -> Any:
        start, noise = jax.random.split(key)

        def step(theta: Any, inputs: Any) -> Any:
            rate, key = inputs
            normal = jax.random.normal(key, shape)
            return theta - rate * (h * theta + jnp.sqrt(h) * normal), None

        def stretch(theta: Any, inputs: Any) -> Any:
            theta, _ = jax.lax.scan(step, theta, inputs)
            return theta, jnp.square(theta) @ h / 2

        keys = jax.random.split(noise, rates.shape)
        return jax.lax.scan(stretch, jax.random.normal(start, shape), (rates, keys))[1]

    def scanned(key: Any) -> Any:
        return losses((problem.trajectories, problem.dim), key)

    def mapped(key: Any) -> Any:
        keys = jax.random.split(key, problem.trajectories)
        return jax.vmap(lambda k: losses((problem.dim,), k))(keys).T

    def program(simulate: Any) -> Callable[[int], Curves]:
        compiled = jax.jit(lambda key: (lambda f: (f.mean(axis=1), f.std(axis=1)))(simulate(key)))
        return lambda seed: tuple(np.asarray(c) for c in compiled(jax.random.key(seed)))

    return {"JAX scan": program(scanned), "JAX vmap": program(mapped)}


def jax_sees_gpu() -> bool:
    if importlib.util.find_spec("jax") is None:
        return False
    import jax

    return jax.default_backend() == "gpu"


def rate_of_normals() -> float:
    """Return normals per second of the generator alone, four to a visit, nothing stored."""
    from numba import cuda

    noise, visits, threads = np.uint32(STREAM_NOISE), 4096, 2**19

    @cuda.jit(fastmath=True)
    def draw(keys: Any, visits: int, out: Any) -> None:
        lane = cuda.grid(1)
        total = np.float32(0)
        for k in range(visits):
            a, b, c, d = normals_single(np.uint32(k), np.uint32(0), np.uint32(lane), noise, keys)
            total += (a + b) + (c + d)
        out[lane] = total

    keys, out = round_keys(0), cuda.device_array(threads, np.float32)

    def run() -> None:
        draw[gpu.blocks(threads), gpu.THREADS](keys, visits, out)
        cuda.synchronize()

    seconds = fastest(run)
    sums = out.copy_to_host().astype(float) / math.sqrt(4 * visits)
    if abs(sums.std() - 1) > MAX_Z / math.sqrt(2 * threads):
        sys.exit(f"the normals are wrong: their standard deviation is {sums.std()}")
    return 4 * visits * threads / seconds


def bandwidth() -> float:
    """Return the bytes per second that a copy within the GPU's memory reads and writes."""
    from numba import cuda

    source, target = (cuda.device_array(2**29, np.float32) for _ in range(2))

    def run() -> None:
        target.copy_to_device(source)
        cuda.synchronize()

    return 2 * source.nbytes / fastest(run)


def fastest(run: Callable[[], object]) -> float:
    run()
    times = []
    for _ in range(5):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return min(times)


def occupancy(study: fs.Study) -> str:
    """Return team, registers of a thread, and the part of a multiprocessor's threads at work."""
    from numba import cuda

    plan = make_gpu_plan(study, (0,))
    kernel: Any = plan.runner()
    overload = next(iter(kernel._kernel.run_lanes.overloads.values()))
    function = overload._codelibrary.get_cufunc()
    threads = max(plan.team, gpu.THREADS)
    context = cuda.current_context()
    blocks = context.get_active_blocks_per_multiprocessor(function, threads, 0)
    most = cuda.get_current_device().MAX_THREADS_PER_MULTI_PROCESSOR
    return f"{plan.team} | {function.attrs.regs} | {blocks * threads / most:.0%}"


def by_size(options: argparse.Namespace, say: Callable[[str], None]) -> None:
    """Measure the quadratic by d, N and T, beside JAX."""
    sizes = [(1000, 2**20, 1000, 100), (1000, 4096, 100_000, 100)]
    sizes += [(d, 2**20, 1000, 100) for d in (10, 100)] + [(10_000, 2**16, 1000, 100)]
    sizes += [(1000, n, 1000, 100) for n in (256, 4096, 2**16)]
    if options.quick:
        sizes = [(100, 2**16, 1000, 10), (1000, 4096, 1000, 10)]
    normals, copied = rate_of_normals(), bandwidth()
    say(f"Normals alone: {normals:.3g} a second. Copy: {copied / 1e12:.2f} TB/s.\n")
    say(
        "| d | N | T | 1e9 updates/s | of normals alone | of bandwidth | team | registers "
        "| occupancy | x JAX scan | x JAX vmap |"
    )
    say("|---|---|---|---|---|---|---|---|---|---|---|")
    for size in sizes:
        problem = Recorded(*size)
        programs = {"fastsched": fastsched_program(problem)}
        if jax_sees_gpu():
            programs |= jax_programs(problem)
        seconds: dict[str, list[float]] = {name: [] for name in programs}
        for k in range(options.rounds + 1):
            for name, program in programs.items():
                started = time.perf_counter()
                curves = program(k)
                problem.check(name, curves)
                if k:
                    seconds[name].append(time.perf_counter() - started)
        own = seconds["fastsched"]
        rate = problem.updates / statistics.median(own)
        ratios = [
            f"{statistics.median(a / b for a, b in zip(seconds[name], own, strict=True)):.1f} x"
            if name in seconds
            else "unmeasured"
            for name in ("JAX scan", "JAX vmap")
        ]
        # Four updates for each time a coordinate is read and written.
        say(
            f"| {problem.dim} | {problem.trajectories} | {problem.steps} | {rate / 1e9:.1f} "
            f"| {rate / normals:.0%} | {2 * rate / copied:.0%} | {occupancy(problem.study(0))} "
            f"| {' | '.join(ratios)} |"
        )


def landscapes(quick: bool) -> dict[str, tuple[Any, Any, int]]:
    """Return landscape, optimizer and batch size by name."""
    d = 20 if quick else 100
    h = 1 / np.arange(1, d + 1)
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(500, d)) / math.sqrt(d)
    sgd, target = fs.SGD(fs.Cosine(0.1, 1000)), rng.normal(size=d)
    quadratic = fs.Quadratic(h, noise="hessian", start=fs.Normal())
    return {
        "Quadratic, SGD": (quadratic, sgd, 1),
        "Quadratic, momentum": (quadratic, fs.SGD(0.05, momentum=0.9), 1),
        "Quadratic, AdamW": (quadratic, fs.AdamW(0.01, weight_decay=0.1), 1),
        "LeastSquares, B = 1": (fs.LeastSquares(h, 0.1), sgd, 1),
        "LeastSquares, B = 16": (fs.LeastSquares(h, 0.1), sgd, 16),
        "DoubleWell": (fs.DoubleWell(d, start=fs.Normal(-1.0, 0.1)), sgd, 4),
        "Wells": (fs.Wells(rng.normal(size=(3, d)), np.ones((3, d))), sgd, 4),
        "RandomField": (fs.RandomField(20, 100), sgd, 1),
        "RandomFeatures, relu": (fs.RandomFeatures(h, target, d, "relu"), sgd, 1),
        "Dataset, B = 8": (fs.Dataset(inputs, inputs @ target), sgd, 8),
    }


def by_landscape(options: argparse.Namespace, say: Callable[[str], None]) -> None:
    """Measure every landscape, in the presence of theory or beside the processor."""
    trajectories = 2**10 if options.quick else 2**17
    say("\n| landscape | d | 1e9 updates/s | x processor | largest z |")
    say("|---|---|---|---|---|")
    for name, (landscape, optimizer, batch_size) in landscapes(options.quick).items():
        study = fs.Study(
            landscape, optimizer, 1000, trajectories, batch_size=batch_size, measures=fs.Loss(())
        )
        few = study.replace(trajectories=trajectories // 64)
        result, other = fs.run(study, "cuda", progress=False), fs.run(few, "cpu", progress=False)
        worst = largest_z(study, result.data, other.data)
        if not worst <= MAX_Z:
            sys.exit(f"{name}: wrong answer, {worst:.1f} standard errors away")
        work = landscape.dim * study.steps
        rates = [
            s.trajectories * work / fastest(lambda s=s, on=on: fs.run(s, on, progress=False))
            for s, on in ((study, "cuda"), (few, "cpu"))
        ]
        say(
            f"| {name} | {landscape.dim} | {rates[0] / 1e9:.2f} | {rates[0] / rates[1]:.0f} x "
            f"| {worst:.1f} |"
        )


def largest_z(study: fs.Study, data: Any, other: Any) -> float:
    """Return the largest deviation from the exact loss, or from another result, in errors."""
    try:
        expected, error = fs.exact(study)["loss"].values, data["loss_se"].values
    except fs.FastschedError:
        expected = other["loss"].values
        error = np.hypot(data["loss_se"].values, other["loss_se"].values)
    apart = np.abs(data["loss"].values - expected)
    return float(np.max(apart[error > 0] / error[error > 0], initial=0.0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes: a check of the script")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="also write the table to this file")
    options = parser.parse_args()
    try:
        chosen_gpus("cuda", None)
    except fs.FastschedError as error:
        sys.exit(f"unmeasured: {error}")
    from numba import cuda

    lines: list[str] = []

    def say(line: str) -> None:
        lines.append(line)
        print(line, flush=True)
        if options.out:
            options.out.write_text("\n".join(lines) + "\n")

    name = cuda.get_current_device().name
    say(f"### {time.strftime('%Y-%m-%d')}, {name.decode() if isinstance(name, bytes) else name}\n")
    by_size(options, say)
    by_landscape(options, say)


if __name__ == "__main__":
    main()
