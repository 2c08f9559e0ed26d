"""Randomly drawn studies against exact theory: is the distribution of z-scores normal?

A single comparison that passes says little. Over hundreds of studies the z-scores must follow
the standard normal distribution: correlated streams and wrong standard errors widen it, small
biases shift it, and a wrong update rule throws single scores far out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastsched import schedules
from fastsched.landscapes import Normal, Quadratic
from fastsched.measures import Average, Loss
from fastsched.optimizers import SGD
from fastsched.result import Result
from fastsched.run import run
from fastsched.schedules import Schedule
from fastsched.study import Study
from fastsched.theory.exact import exact

STATISTICS = ("mean", "deviation", "median", "average")
"""What is compared: mean, standard deviation and median of the loss, and the average's loss."""

STEPS_PER_STUDY = 4

_UPDATES = 1.5e7
_FEWEST, _MOST = 4096, 65536
_LARGEST_SCORE = 5.0
_SMALLEST_P = 1e-3
_DEVIATIONS = 4.0

# Skewed samples widen the scores of these statistics by their finite number of trajectories.
_SLACK = {"mean": 0.0, "deviation": 0.05, "median": 0.05, "average": 0.0}


@dataclass(frozen=True)
class Score:
    """The z-score of one statistic of one run.

    Attributes
    ----------
    study : int
        Number of the drawn study.
    step : int
    statistic : str
        One of `STATISTICS`.
    families : dict
        What the study belongs to: optimizer, decay, schedule, batch size, precision.
    z : float
        (estimate - exact) / standard error.
    """

    study: int
    step: int
    statistic: str
    families: Mapping[str, str]
    z: float


def draw_study(number: int) -> Study:
    """Return study `number` of the suite; it records at its last step.

    The spectrum, noise, start, minimum, every hyper-parameter with its schedule, the batch size,
    the precision and the numbers of steps and coordinates are drawn.
    """
    rng = np.random.default_rng([20260, number])
    dim = int(np.exp(rng.uniform(0, np.log(300))))
    steps = int(np.exp(rng.uniform(np.log(8), np.log(200))))
    landscape = _draw_landscape(rng, dim)
    average = str(rng.choice(Average.KINDS))
    return Study(
        landscape,
        _draw_optimizer(rng, steps, float(np.max(landscape.eigenvalues))),
        steps=steps,
        trajectories=int(np.clip(_UPDATES / (dim * steps), _FEWEST, _MOST)),
        batch_size=_draw_schedule(rng, 8.0, steps).clip(1, 30)
        if rng.random() < 0.3
        else int(rng.integers(1, 17)),
        seed=number,
        record=np.array([steps]),
        measures=(
            Loss(quantiles=(0.5,)),
            Average(
                average,
                decay=rng.uniform(0.3, 0.98) if average == "ema" else None,
                start=int(rng.integers(1, steps // 2)) if average == "tail" else None,
            ),
        ),
        precision="double" if rng.random() < 0.3 else "single",
    )


def families(study: Study) -> dict[str, str]:
    """Return what a drawn study belongs to, by the name of the classification."""
    optimizer = study.optimizer
    assert isinstance(optimizer, SGD)
    form = "SGD"
    if optimizer.momentum != 0.0:
        form = f"{optimizer.velocity} {'Nesterov' if optimizer.nesterov else 'momentum'}"
    return {
        "optimizer": form,
        "weight decay": "none" if optimizer.weight_decay == 0.0 else optimizer.decay,
        "learning rate": type(optimizer.lr).__name__,
        "batch size": "scheduled" if isinstance(study.batch_size, Schedule) else "constant",
        "average": next(m.kind for m in study.measures if isinstance(m, Average)),
        "precision": study.precision,
    }


def scores(
    numbers: Iterable[int], simulate: Callable[[Study], Result] | None = None
) -> Iterator[Score]:
    """Yield the z-scores of drawn studies.

    Every study is compared at several steps, each in a run with a seed of its own, so that all
    scores of a statistic are independent.

    Parameters
    ----------
    numbers : iterable of int
        Numbers of the studies.
    simulate : function, default `run`
        What turns a study into the result to be judged.
    """
    simulate = simulate or (lambda study: run(study, progress=False))
    for number in numbers:
        study = draw_study(number)
        steps = np.unique(np.linspace(0, study.steps, STEPS_PER_STUDY + 1).astype(int))[1:]
        truth = exact(study.replace(record=steps)).data
        for k, step in enumerate(steps):
            data = simulate(study.replace(record=np.array([step]), seed=k << 32 | number)).data
            data = data.sel(step=step)
            for statistic, name in zip(
                STATISTICS, ("loss", "loss_std", "loss_quantile", "average_loss"), strict=True
            ):
                error = data[f"{name}_se"].item()
                z = (data[name].item() - truth[name].sel(step=step).item()) / error
                yield Score(number, int(step), statistic, families(study), z)


def complaints(values: Iterable[Score]) -> list[str]:
    """Return what is wrong with the distribution of scores; empty if nothing is.

    For each statistic: the Kolmogorov-Smirnov test against the standard normal distribution
    (p > 1e-3), mean and variance within four of their errors, and no |z| > 5.
    """
    from scipy import stats

    found = []
    given = list(values)
    for statistic in STATISTICS:
        z = np.array([score.z for score in given if score.statistic == statistic])
        slack = _SLACK[statistic]
        p = stats.kstest(z, "norm").pvalue
        if p < _SMALLEST_P:
            found.append(f"{statistic}: not standard normal, Kolmogorov-Smirnov p = {p:.2g}")
        for moment, value, target, error in (
            ("mean", np.mean(z), 0.0, 1 / np.sqrt(len(z))),
            ("variance", np.var(z), 1.0, np.sqrt(2 / len(z))),
        ):
            if abs(value - target) > _DEVIATIONS * error + slack:
                found.append(
                    f"{statistic}: {moment} of z is {value:.3f}, not {target:g} +- {error:.3f}"
                )
        worst = max((s for s in given if s.statistic == statistic), key=lambda s: abs(s.z))
        if abs(worst.z) > _LARGEST_SCORE:
            found.append(
                f"{statistic}: z = {worst.z:.1f} in study {worst.study}, step {worst.step}"
            )
    return found


def _draw_landscape(rng: np.random.Generator, dim: int) -> Quadratic:
    scale = np.exp(rng.uniform(-2, 2))
    spectrum = rng.choice(["power law", "geometric", "uniform", "matrix"])
    if spectrum == "power law":
        eigenvalues = np.arange(1, dim + 1.0) ** -rng.uniform(0.3, 2)
    elif spectrum == "geometric":
        eigenvalues = np.geomspace(1, np.exp(-rng.uniform(1, 8)), dim)
    else:
        eigenvalues = rng.uniform(0.1, 1, dim)
    curvature = scale * eigenvalues
    rotated = spectrum == "matrix" and 1 < dim <= 60
    if rotated:
        basis = np.linalg.qr(rng.normal(size=(dim, dim)))[0]
        curvature = basis * curvature @ basis.T
        curvature = (curvature + curvature.T) / 2
    vector = rng.random() < 0.4 and not rotated
    std = np.exp(rng.normal(size=dim)) if vector else float(np.exp(rng.normal()))
    start = rng.normal(size=dim) if rng.random() < 0.5 else 1.0
    return Quadratic(
        curvature,
        noise="hessian" if rng.random() < 0.4 else std,
        start=Normal(start, 0.7 if rotated else std) if rng.random() < 0.6 else start,
        minimum=rng.normal(size=dim) if rng.random() < 0.4 else 0.0,
    )


def _draw_optimizer(rng: np.random.Generator, steps: int, largest: float) -> SGD:
    kind = rng.choice(["none", "constant", "scheduled"], p=[0.35, 0.45, 0.2])
    momentum: float | Schedule = 0.0
    if kind == "constant":
        momentum = rng.uniform(-0.5, 0.97)
    elif kind == "scheduled":
        momentum = schedules.Linear(rng.uniform(0, 0.95), steps, final=rng.uniform(-0.3, 0.9))
    rate = rng.uniform(0.05, 0.8) / largest
    if rng.random() < 0.5:
        rate *= 1 - abs(float(np.max(np.abs(_values(momentum, steps)))))
    decay = rng.choice(SGD.DECAYS)
    weight_decay: float | Schedule = 0.0
    if rng.random() < 0.5:
        unit = 0.1 * (largest if decay in ("coupled", "lr") else 1.0)
        weight_decay = rng.uniform(0.01, 1) * unit
        if rng.random() < 0.4:
            weight_decay = _draw_schedule(rng, weight_decay, steps)
    return SGD(
        _draw_schedule(rng, rate, steps),
        momentum=momentum,
        nesterov=bool(rng.random() < 0.4),
        weight_decay=weight_decay,
        decay=str(decay),
        velocity=str(rng.choice(SGD.VELOCITIES)),
    )


def _values(parameter: float | Schedule, steps: int) -> NDArray[np.float64]:
    return parameter.values(steps) if isinstance(parameter, Schedule) else np.array([parameter])


def _draw_schedule(rng: np.random.Generator, peak: float, steps: int) -> Schedule:
    """Return one of all kinds of schedules, at most `peak`."""
    part = max(2, steps // 3)
    options: list[Callable[[], Schedule]] = [
        lambda: schedules.Constant(peak),
        lambda: schedules.StepDecay(peak, every=part, factor=0.4),
        lambda: schedules.MultiStep(peak, [part, 2 * part], factor=0.3),
        lambda: schedules.Exponential(peak, gamma=0.1 ** (1 / steps)),
        lambda: schedules.Polynomial(peak, steps, power=2.0),
        lambda: schedules.Linear(peak, steps),
        lambda: schedules.InverseTime(peak * part, beta=part),
        lambda: schedules.InverseSqrt(peak * part**0.5, beta=part),
        lambda: schedules.PowerLaw(peak, exponent=0.7, timescale=5.0),
        lambda: schedules.Cosine(peak, steps),
        lambda: schedules.Triangular(peak / 5, peak, half_cycle=part),
        lambda: schedules.WarmRestarts(peak, period=part, multiplier=1.5),
        lambda: schedules.OneCycle(peak, steps=steps),
        lambda: schedules.WSD(peak, steps, decay=part),
        lambda: schedules.Piecewise([part, 2 * part], [peak / 2, peak, peak / 9]),
        lambda: schedules.Table(peak * rng.uniform(0.1, 1, steps)),
        lambda: schedules.Function(lambda t: peak * (0.6 + 0.4 * np.cos(0.9 * t))),
        lambda: schedules.Cosine(peak, steps).warmup(part, start=peak / 3),
        lambda: schedules.Constant(peak).then(schedules.Linear(peak, part), at=part),
    ]
    return options[rng.integers(len(options))]()
