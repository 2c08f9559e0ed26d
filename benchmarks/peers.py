"""fastsched beside JAX, PyTorch and NumPy: the same problem, alternately, in one process.

The problem is SGD with a cosine schedule on a noisy diagonal quadratic (curvature 1/i, noise
covariance H, start N(0, I)), with the mean and the standard deviation of the loss over
trajectories wanted after every step, in single precision. Every program's answer is checked
against the exact moments before its time is reported. Machines are noisy, so the programs take
turns, and the ratio is the median over rounds of the ratio within a round.

    python benchmarks/peers.py [--dim 512] [--trajectories 2048] [--steps 400] [--rounds 7]

Peers that are not installed are left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping

import numba
import numpy as np
from suite.common import median_ratio, take_turns

import fastsched as fs

Curves = tuple[np.ndarray, np.ndarray]
Program = Callable[[int], Curves]

MAX_Z = 4.5


class Problem:
    """The problem, and its exact moments by the recursion of each coordinate."""

    def __init__(self, dim: int, trajectories: int, steps: int) -> None:
        self.dim, self.trajectories, self.steps = dim, trajectories, steps
        self.h = 1 / np.arange(1, dim + 1)
        self.schedule = fs.Cosine(0.5, steps)
        self.rates = self.schedule.values(steps)
        second = np.ones(dim)
        mean, variance = [], []
        for rate in self.rates:
            second = (1 - rate * self.h) ** 2 * second + rate**2 * self.h
            mean.append(np.sum(self.h * second) / 2)
            variance.append(np.sum((self.h * second) ** 2) / 2)
        self.mean, self.std = np.array(mean), np.sqrt(variance)

    def check(self, name: str, curves: Curves) -> None:
        """Stop the benchmark where a program's answer is wrong."""
        mean, std = (np.asarray(c, dtype=float) for c in curves)
        z_mean = (mean - self.mean) / (self.std / np.sqrt(self.trajectories))
        # The loss is a sum of chi-squares: its kurtosis is bounded by that of the first one.
        z_std = (std / self.std - 1) * np.sqrt(2 * self.trajectories / (1 + 12 / 2))
        worst = max(np.abs(z_mean).max(), np.abs(z_std).max())
        if not worst <= MAX_Z:
            sys.exit(f"{name}: wrong answer, {worst:.1f} standard errors from the exact moments")


def fastsched_program(problem: Problem, quantiles: tuple[float, ...]) -> Program:
    """Return the program that calls `fs.run`."""
    landscape = fs.Quadratic(problem.h, noise="hessian", start=fs.Normal(0.0, 1.0))

    def program(seed: int) -> Curves:
        study = fs.Study(
            landscape,
            fs.SGD(problem.schedule),
            problem.steps,
            problem.trajectories,
            seed=seed,
            record=np.arange(problem.steps + 1),
            measures=(fs.Loss(quantiles),),
        )
        data = fs.run(study, progress=False).data
        return data["loss"].values[1:], data["loss_std"].values[1:]

    return program


def numpy_program(problem: Problem) -> Program:
    """Return a NumPy loop over steps: fastest bit generator, everything in place."""
    h = problem.h.astype(np.float32)
    sigma = np.sqrt(h)

    def program(seed: int) -> Curves:
        generator = np.random.Generator(np.random.SFC64(seed))
        shape = (problem.trajectories, problem.dim)
        theta = generator.standard_normal(shape, dtype=np.float32)
        noise = np.empty_like(theta)
        mean, std = [], []
        for rate in problem.rates.astype(np.float32):
            generator.standard_normal(dtype=np.float32, out=noise)
            theta *= 1 - rate * h
            noise *= rate * sigma
            theta -= noise
            loss = np.square(theta) @ h / 2
            mean.append(loss.mean(dtype=np.float64))
            std.append(loss.std(dtype=np.float64))
        return np.array(mean), np.array(std)

    return program


def plain_numpy_program(problem: Problem) -> Program:
    """Return the NumPy loop as one writes it: default generator, new arrays every step."""
    h = problem.h.astype(np.float32)
    sigma = np.sqrt(h)

    def program(seed: int) -> Curves:
        generator = np.random.default_rng(seed)
        shape = (problem.trajectories, problem.dim)
        theta = generator.standard_normal(shape, dtype=np.float32)
        mean, std = [], []
        for rate in problem.rates.astype(np.float32):
            gradient = h * theta + sigma * generator.standard_normal(shape, dtype=np.float32)
            theta = theta - rate * gradient
            loss = np.sum(h * theta**2, axis=1) / 2
            mean.append(loss.mean(dtype=np.float64))
            std.append(loss.std(dtype=np.float64))
        return np.array(mean), np.array(std)

    return program


def torch_program(problem: Problem) -> Program:
    """Return the same loop in PyTorch, eager, on all threads."""
    import torch

    torch.set_num_threads(numba.get_num_threads())
    h = torch.tensor(problem.h, dtype=torch.float32)
    sigma = h.sqrt()

    @torch.no_grad()
    def program(seed: int) -> Curves:
        generator = torch.Generator().manual_seed(seed)
        shape = (problem.trajectories, problem.dim)
        theta = torch.randn(shape, generator=generator)
        noise = torch.empty(shape)
        mean, std = [], []
        for rate in problem.rates.tolist():
            noise.normal_(generator=generator)
            theta.mul_(1 - rate * h).addcmul_(noise, sigma, value=-rate)
            loss = theta.square() @ h / 2
            mean.append(loss.double().mean().item())
            std.append(loss.double().std().item())
        return np.array(mean), np.array(std)

    return program


def jax_program(problem: Problem) -> Program:
    """Return a jitted scan over steps with JAX's default generator (threefry)."""
    import jax
    import jax.numpy as jnp

    h = jnp.asarray(problem.h, dtype=jnp.float32)
    sigma = jnp.sqrt(h)
    rates = jnp.asarray(problem.rates, dtype=jnp.float32)

    @jax.jit
    def simulate(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        shape = (problem.trajectories, problem.dim)
        key, first = jax.random.split(key)

        def step(theta: jax.Array, inputs: tuple[jax.Array, jax.Array]) -> tuple:
            rate, step_key = inputs
            noise = jax.random.normal(step_key, shape)
            theta = theta - rate * (h * theta + sigma * noise)
            loss = jnp.square(theta) @ h / 2
            return theta, (loss.mean(), loss.std())

        inputs = (rates, jax.random.split(key, problem.steps))
        return jax.lax.scan(step, jax.random.normal(first, shape), inputs)[1]

    def program(seed: int) -> Curves:
        mean, std = simulate(jax.random.key(seed))
        return np.asarray(mean), np.asarray(std)

    return program


# Name: the module that it needs, and what makes the program.
PEERS: dict[str, tuple[str, Callable[[Problem], Program]]] = {
    "JAX jit(scan), threefry": ("jax", jax_program),
    "PyTorch eager": ("torch", torch_program),
    "NumPy, plain loop": ("numpy", plain_numpy_program),
    "NumPy, SFC64, in place": ("numpy", numpy_program),
}


def installed(module: str) -> bool:
    """Return whether a module can be imported."""
    return importlib.util.find_spec(module) is not None


def checked_seconds(problem: Problem, name: str, program: Program) -> Callable[[int], float]:
    """Return a function of the seed that times the program and then checks its answer."""

    def measure(seed: int) -> float:
        started = time.perf_counter()
        curves = program(seed)
        seconds = time.perf_counter() - started
        problem.check(name, curves)
        return seconds

    return measure


def compare(
    problem: Problem, programs: Mapping[str, Program], rounds: int
) -> dict[str, list[float]]:
    """Return each program's seconds in every round, answers checked."""
    variants = {name: checked_seconds(problem, name, p) for name, p in programs.items()}
    for measure in variants.values():
        measure(0)
    return take_turns(variants, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--trajectories", type=int, default=2048)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    problem = Problem(options.dim, options.trajectories, options.steps)
    programs = {
        "fastsched": fastsched_program(problem, ()),
        "fastsched, quantiles": fastsched_program(problem, fs.Loss().quantiles),
    }
    programs |= {name: make(problem) for name, (m, make) in PEERS.items() if installed(m)}
    seconds = compare(problem, programs, options.rounds)
    updates = options.dim * options.trajectories * options.steps
    print(
        f"d = {options.dim}, N = {options.trajectories}, T = {options.steps}, float32, "
        f"{numba.get_num_threads()} threads, Python {platform.python_version()}, "
        f"{platform.machine()}, {options.rounds} rounds\n"
    )
    print("| program | seconds | 1e9 updates/s | fastsched is | with quantiles |")
    print("|---|---|---|---|---|")
    plain, quantiles = seconds["fastsched"], seconds["fastsched, quantiles"]
    for name, times in seconds.items():
        median = statistics.median(times)
        ratios = [median_ratio(times, base) for base in (plain, quantiles)]
        print(
            f"| {name} | {median:.3f} | {updates / median / 1e9:.3f} "
            f"| {ratios[0]:.2f} x | {ratios[1]:.2f} x |"
        )


if __name__ == "__main__":
    main()
