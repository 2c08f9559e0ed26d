"""fastsched beside JAX on landscapes other than the quadratic, in turns, in one process.

Each problem is SGD with a linear schedule in single precision, with the mean loss over
trajectories wanted at some of the steps. fastsched and JAX's jit(scan) must agree, within standard
errors, with the exact mean where there is one, else with one another, before times are
reported. The ratio is the median over rounds of the ratio within a round.

    python benchmarks/landscape_peers.py [--rounds 5]
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numba
import numpy as np
from suite.common import median_ratio, seconds_of, take_turns

import fastsched as fs

MAX_Z = 4.5

Risk = Callable[[jax.Array], jax.Array]


@dataclass
class Problem:
    """A study, and JAX's gradient and loss of all trajectories (n, d)."""

    name: str
    study: fs.Study
    gradient: Callable[[jax.Array, jax.Array], jax.Array]
    loss: Risk
    every: int

    @property
    def samples(self) -> int:
        """Samples' gradients times coordinates of a run."""
        study = self.study
        sizes = float(np.sum(study.batch_sizes()))
        return int(study.trajectories * sizes * study.landscape.dim)


def study_of(
    landscape: fs.Landscape, rate: float, n: int, steps: int, batch: int, every: int
) -> fs.Study:
    return fs.Study(
        landscape,
        fs.SGD(fs.Linear(rate, steps)),
        steps,
        n,
        batch_size=batch,
        record=np.arange(0, steps + 1, every),
        measures=(fs.Loss(()),),
    )


def least_squares(dim: int, batch: int, n: int, steps: int) -> Problem:
    spectrum = np.arange(1, dim + 1) ** -1.5
    study = study_of(fs.LeastSquares(spectrum, 0.3), 0.1, n, steps, batch, 1)
    scale = jnp.sqrt(jnp.asarray(spectrum, jnp.float32))
    weights = jnp.asarray(spectrum, jnp.float32)

    def gradient(theta: jax.Array, key: jax.Array) -> jax.Array:
        first, second = jax.random.split(key)
        rows = scale * jax.random.normal(first, (n, batch, dim))
        noise = 0.3 * jax.random.normal(second, (n, batch))
        residual = jnp.einsum("nbd,nd->nb", rows, theta) - noise
        return jnp.einsum("nb,nbd->nd", residual, rows) / batch

    return Problem(
        f"LeastSquares, d = {dim}, B = {batch}",
        study,
        gradient,
        lambda theta: jnp.square(theta) @ weights / 2,
        1,
    )


def random_features(inputs: int, features: int, n: int, steps: int) -> Problem:
    landscape = fs.RandomFeatures.power_law(
        inputs, features, 1.0, 0.7, activation="relu", label_noise=0.1
    )
    study = study_of(landscape, 0.5, n, steps, 1, 10)
    weights = jnp.asarray(landscape.weights, jnp.float32)
    scale = jnp.sqrt(jnp.asarray(landscape.input_spectrum, jnp.float32))
    target = jnp.asarray(landscape.target, jnp.float32)
    model = landscape.model
    root = jnp.asarray(model.data()[3], jnp.float32)
    best = jnp.asarray(model.origin(), jnp.float32)
    least = landscape.least_loss

    def gradient(theta: jax.Array, key: jax.Array) -> jax.Array:
        first, second = jax.random.split(key)
        x = scale * jax.random.normal(first, (n, inputs))
        y = x @ target + 0.1 * jax.random.normal(second, (n,))
        phi = jax.nn.relu(x @ weights)
        return (jnp.sum(phi * theta, axis=1) - y)[:, None] * phi

    return Problem(
        f"RandomFeatures(relu), {inputs} inputs, {features} features",
        study,
        gradient,
        lambda theta: jnp.sum(jnp.square((theta - best) @ root.T), axis=1) / 2 + least,
        10,
    )


def dataset(rows: int, dim: int, batch: int, n: int, steps: int) -> Problem:
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(rows, dim)) / np.sqrt(np.arange(1, dim + 1))
    targets = inputs @ rng.normal(size=dim) + rng.normal(size=rows)
    data = fs.Dataset(inputs, targets)
    study = study_of(data, 0.05, n, steps, batch, 10)
    x, y = jnp.asarray(inputs, jnp.float32), jnp.asarray(targets, jnp.float32)
    hessian = jnp.asarray(data.hessian(), jnp.float32)
    best = jnp.asarray(data.minimizer(), jnp.float32)
    least = float(data.reference_loss(data.minimizer()[None])[0])

    def gradient(theta: jax.Array, key: jax.Array) -> jax.Array:
        picks = jax.random.randint(key, (n, batch), 0, rows)
        phi = x[picks]
        residual = jnp.einsum("nbd,nd->nb", phi, theta) - y[picks]
        return jnp.einsum("nb,nbd->nd", residual, phi) / batch

    def loss(theta: jax.Array) -> jax.Array:
        e = theta - best
        return jnp.sum((e @ hessian) * e, axis=1) / 2 + least

    return Problem(f"Dataset, {rows} rows, d = {dim}, B = {batch}", study, gradient, loss, 10)


def jax_program(problem: Problem) -> Callable[[int], tuple[np.ndarray, np.ndarray]]:
    study = problem.study
    rates = jnp.asarray(study.optimizer.lr.values(study.steps), jnp.float32)
    start = float(study.landscape.start)

    @jax.jit
    def simulate(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        def step(theta: jax.Array, inputs: tuple[jax.Array, jax.Array]) -> tuple:
            rate, step_key = inputs
            return theta - rate * problem.gradient(theta, step_key), None

        def record(theta: jax.Array, inputs: tuple[jax.Array, jax.Array]) -> tuple:
            theta, _ = jax.lax.scan(step, theta, inputs)
            loss = problem.loss(theta)
            return theta, (loss.mean(), loss.std())

        keys = jax.random.split(key, study.steps).reshape(-1, problem.every)
        theta = jnp.full((study.trajectories, study.landscape.dim), start)
        return jax.lax.scan(record, theta, (rates.reshape(-1, problem.every), keys))[1]

    def program(seed: int) -> tuple[np.ndarray, np.ndarray]:
        mean, std = simulate(jax.random.key(seed))
        return np.asarray(mean, float), np.asarray(std, float)

    return program


def fastsched_program(problem: Problem) -> Callable[[int], tuple[np.ndarray, np.ndarray]]:
    def program(seed: int) -> tuple[np.ndarray, np.ndarray]:
        data = fs.run(problem.study.replace(seed=seed), progress=False).data
        return data["loss"].values[1:], data["loss_std"].values[1:]

    return program


def check(problem: Problem, curves: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """Stop where an answer is wrong."""
    n = problem.study.trajectories
    try:
        exact = fs.exact(problem.study)["loss"].values[1:]
    except fs.NoExactTheory:
        exact = None
    (ours, our_std), (theirs, their_std) = curves.values()
    pairs = (
        [(ours, theirs, np.hypot(our_std, their_std))]
        if exact is None
        else [(ours, exact, our_std), (theirs, exact, their_std)]
    )
    for mean, truth, std in pairs:
        z = np.abs(mean - truth) / (std / np.sqrt(n) + 1e-5 * truth)
        if not np.max(z) <= MAX_Z:
            sys.exit(f"{problem.name}: wrong answer, {np.max(z):.1f} standard errors off")


def compare(problem: Problem, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of fastsched and JAX in every round, answers checked."""
    programs = {"fastsched": fastsched_program(problem), "JAX": jax_program(problem)}
    check(problem, {name: program(0) for name, program in programs.items()})
    variants = {
        name: lambda seed, program=program: seconds_of(lambda: program(seed))
        for name, program in programs.items()
    }
    return take_turns(variants, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    problems = [
        least_squares(100, 1, 4096, 400),
        least_squares(1000, 1, 1024, 200),
        least_squares(100, 16, 4096, 100),
        least_squares(1000, 16, 1024, 40),
        random_features(1000, 250, 1024, 100),
        random_features(250, 250, 1024, 200),
        random_features(500, 1000, 1024, 50),
        dataset(5000, 100, 1, 1024, 1000),
        dataset(5000, 100, 16, 1024, 200),
    ]
    print(
        f"float32, {numba.get_num_threads()} threads, Python {platform.python_version()}, "
        f"JAX {jax.__version__}, {platform.machine()}, {rounds} rounds\n"
    )
    print("| problem | fastsched, s | JAX jit(scan), s | ratio | 1e9 samples x d / s |")
    print("|---|---|---|---|---|")
    for problem in problems:
        seconds = compare(problem, rounds)
        ours, theirs = (statistics.median(times) for times in seconds.values())
        ratio = median_ratio(seconds["JAX"], seconds["fastsched"])
        print(
            f"| {problem.name} | {ours:.3f} | {theirs:.3f} | {ratio:.1f} x "
            f"| {problem.samples / ours / 1e9:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
