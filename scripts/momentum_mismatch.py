"""Momentum and decaying rates: stale velocities, and the shock of a sudden drop.

    python scripts/momentum_mismatch.py [--quick] [-o FIGURE]

The heavy ball with both conventions of the velocity, the rate outside (PyTorch) and inside it
(classical), and plain SGD, on a noisy quadratic. A velocity remembers 1 / (1 - mu) steps; rates
are given as rate / (1 - mu), which is what the heavy ball amounts to in the long run.

Claim 13: the rate is constant, then falls exponentially with a decay time tau for the last 4 tau
steps. For each optimizer and tau the rate with the least exact loss at the end is used. Momentum
and decay do not match where momentum then ends more than 5 % above plain SGD; of the claim the
decay times of at most 1 / (1 - mu) decide.

Claim 3: step decay, by 10 after each quarter of the steps, against a constant rate and smooth
decays of equal area, the one that is best for step decay. It is effective if it ends below the
constant rate. The drop is a shock if the loss rises after it. Staleness is the cosine of the
velocity with the gradient that it meets.

All comparisons are by 4 standard errors. Between runs they are those of paired trajectories;
between two steps of one run those of independent ones, which are too large.

Sources: Polyak, USSR Comput. Math. Math. Phys. 4 (1964) 1, and `torch.optim.SGD`, of the two
velocities; Zhang et al. 2019 (arXiv:1907.04164) of the model and its exact moments.
"""

from __future__ import annotations

from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from study import COLOURS, Finding, Outcome, final_ratio, main, simulate, verdict, with_error

import fastsched as fs
from fastsched.theory.exact import linear_dynamics
from fastsched.theory.moments import map_moments

LANDSCAPE = fs.Quadratic(np.geomspace(1, 0.01, 20), noise="hessian", start=10.0)
STEPS = 4000
EVERY = STEPS // 4
DROPS = np.arange(EVERY, STEPS, EVERY)
BEFORE, AFTER = -20, np.unique(np.geomspace(1, 600, 24).astype(int))
RECORD = np.unique(
    np.concatenate(
        [np.linspace(0, STEPS, 21).astype(int), *(d + np.append([BEFORE, 0], AFTER) for d in DROPS)]
    )
)
TAUS = (3, 10, 30, 100, 300, 1000)
FOLDS = 4  # decay times at the end of a run
SHAPES = {
    "step": fs.StepDecay(1.0, EVERY, 0.1),
    "constant": fs.Constant(1.0),
    "exponential": fs.Exponential(1.0, 0.1 ** (1 / EVERY)),
    "cosine": fs.Cosine(1.0, STEPS),
    "linear": fs.Linear(1.0, STEPS),
}

THRESHOLD = 4.0  # standard errors
TOLERANCE = 0.05  # relative, of a mismatch


class Method(NamedTuple):
    """SGD with momentum, its rates given as rate / (1 - mu)."""

    momentum: float
    velocity: str

    @property
    def name(self) -> str:
        return f"mu {self.momentum}, {self.velocity}" if self.momentum else "plain SGD"

    @property
    def memory(self) -> float:
        return 1 / (1 - self.momentum)

    def optimizer(self, schedule: fs.Schedule) -> fs.SGD:
        return fs.SGD(schedule * (1 / self.memory), self.momentum, velocity=self.velocity)

    def tuned(self, shape: fs.Schedule) -> float:
        """Return the factor of a shape that gives the least exact loss at the end."""

        def loss(log_rate: float) -> float:
            optimizer = self.optimizer(np.exp(log_rate) * shape)
            end = fs.exact(fs.Study(LANDSCAPE, optimizer, STEPS, 1, record=[STEPS]))
            return float(np.nan_to_num(np.log(end["loss"][-1]), nan=np.inf))

        grid = np.log(np.geomspace(0.01, 3, 12))
        k = int(np.clip(np.argmin([loss(x) for x in grid]), 1, len(grid) - 2))
        best = minimize_scalar(
            loss, bounds=(grid[k - 1], grid[k + 1]), method="bounded", options={"xatol": 0.02}
        )
        return float(np.exp(best.x))


PLAIN = Method(0.0, "pytorch")
HEAVY = tuple(Method(mu, velocity) for mu in (0.9, 0.99) for velocity in ("pytorch", "classical"))
METHODS = (PLAIN, *HEAVY)

Decays = dict[int, fs.SweepResult]  # by decay time, over the methods
Shapes = dict[Method, fs.SweepResult]  # over the shapes
Estimate = tuple[float, float]  # with its error


def run(
    optimizers: dict[str, fs.SGD],
    trajectories: int,
    record: ArrayLike = (STEPS,),
    measures: tuple[fs.Measure, ...] = (fs.Loss(()),),
) -> fs.SweepResult:
    first = next(iter(optimizers.values()))
    study = fs.Study(LANDSCAPE, first, STEPS, trajectories, record=record, measures=measures)
    return simulate(fs.sweep(study, {"optimizer": optimizers}))


def run_decays(trajectories: int) -> Decays:
    """Return the results of every method at each decay time, at its best rate."""
    results = {}
    for tau in TAUS:
        fall = fs.Exponential(1.0, np.exp(-1 / tau))
        shape = fs.Constant(1.0).then(fall, STEPS - FOLDS * tau)
        best = {m.name: m.optimizer(m.tuned(shape) * shape) for m in METHODS}
        results[tau] = run(best, trajectories)
    return results


def run_shapes(trajectories: int) -> Shapes:
    """Return the results of every method and shape, of the area that is best for step decay."""
    results = {}
    for method in METHODS:
        area = method.tuned(SHAPES["step"]) * SHAPES["step"].values(STEPS).sum()
        equal = {
            name: method.optimizer(area / shape.values(STEPS).sum() * shape)
            for name, shape in SHAPES.items()
        }
        measures = (fs.Loss(()), *[fs.Alignment()] * bool(method.momentum))
        results[method] = run(equal, trajectories, RECORD, measures)
    return results


def velocity_cosine(study: fs.Study) -> NDArray[np.float64]:
    """Return the exact `velocity_alignment`; NaN at step 0, before which there is no velocity."""
    dynamics = linear_dynamics(study)
    blocks = list(map_moments(dynamics, study.record_steps, lambda part, m, p: (m, p)))
    mean, covariance = (np.concatenate(parts, axis=-1) for parts in zip(*blocks, strict=True))
    h, sign = dynamics.curvature, study.optimizer.velocity_sign
    cosines = np.full(len(mean), np.nan)
    for k in np.flatnonzero(study.record_steps):
        joint = np.empty((len(h), 2, 2))
        joint[:, 0, 0] = covariance[k, 1, 1]
        joint[:, 0, 1] = joint[:, 1, 0] = sign * h * covariance[k, 0, 1]
        joint[:, 1, 1] = h**2 * covariance[k, 0, 0] + dynamics.noise_variance / study.batch_size
        met = np.stack([sign * mean[k, 1], h * mean[k, 0]], axis=1)
        cosines[k] = fs.theory.expected_cosine(met, joint)
    return cosines


def theory(result: fs.Result, name: str) -> NDArray[np.float64]:
    return result.exact["loss"].values if name == "loss" else velocity_cosine(result.study)


def rise(result: fs.Result) -> Estimate:
    """Return the largest mean loss soon after a drop over that at the drop, of all drops."""
    loss = result["loss"]
    relative = result["loss_se"] / loss

    def ratio(step: int, drop: int) -> Estimate:
        value = float(loss.sel(step=step) / loss.sel(step=drop))
        return value, value * float(np.hypot(*relative.sel(step=[step, drop])))

    return max(ratio(drop + k, drop) for drop in DROPS for k in AFTER)


def staleness(result: fs.Result) -> Estimate:
    """Return the largest change of the velocity's cosine after the first drop."""
    cosine, error = result["velocity_alignment"], result["velocity_alignment_se"]
    change = cosine.sel(step=DROPS[0] + AFTER) - cosine.sel(step=DROPS[0]).values
    k = int(np.argmax(abs(change.values)))
    errors = error.sel(step=[DROPS[0], DROPS[0] + AFTER[k]])
    return float(change[k]), float(np.hypot(*errors.values))


def above(estimate: Estimate, level: float) -> bool:
    return estimate[0] - level > THRESHOLD * estimate[1]


def judge_decays(decays: Decays) -> Finding:
    """Judge claim 13 by the decays that are not slower than the velocity."""
    times = {m: np.array(TAUS) / m.memory for m in HEAVY}
    ratios = {
        m: [final_ratio(result, m.name, PLAIN.name) for result in decays.values()] for m in HEAVY
    }
    bad = {m: np.array([above(r, 1 + TOLERANCE) for r in ratios[m]]) for m in HEAVY}
    where = "; ".join(
        f"{', '.join(f'{time:g}' for time in times[m][bad[m]]) or 'none'} with {m.name}"
        for m in HEAVY
    )
    worst, slowest = ({m: pick(ratios[m]) for m in HEAVY} for pick in (max, lambda row: row[-1]))
    return Finding(
        "13. High momentum with a fast decaying rate is a mismatch: today's small rate acts on a "
        "velocity from the time of large ones.",
        verdict(np.concatenate([bad[m][times[m] <= 1] for m in HEAVY])),
        f"the decay time, in units of 1 / (1 - mu), is {where}. The loss at the end over that of "
        f"plain SGD, each at its best rate: at worst {listed(worst)}; with the slowest decay "
        f"{listed(slowest)}",
    )


def judge_shapes(shapes: Shapes) -> list[Finding]:
    """Judge the two halves of claim 3."""
    final = {
        name: {m: final_ratio(result, "step", name) for m, result in shapes.items()}
        for name in SHAPES
        if name != "step"
    }
    effective = [value + THRESHOLD * error < 1 for value, error in final["constant"].values()]
    rises = {m: rise(result.member("step")) for m, result in shapes.items()}
    shocked = [m.name for m in METHODS if above(rises[m], 1)]
    stale = {m: staleness(shapes[m].member("step")) for m in HEAVY}
    against = ". ".join(f"Over {name}: {listed(ratios)}" for name, ratios in final.items())
    return [
        Finding(
            "3. Step decay is effective ...",
            verdict(effective),
            f"the loss at the end with steps over that with another shape. {against}",
        ),
        Finding(
            "3. ... but the sudden drop shocks the dynamics.",
            verdict([m.name in shocked for m in METHODS]),
            f"the optimizer is {' or '.join(shocked) or 'none of them'}. The highest loss after a "
            f"drop over that at the drop: {listed(rises)}. The cosine of velocity and gradient "
            f"changes after the first drop by up to {listed(stale)}",
        ),
    ]


def listed(estimates: dict[Method, Estimate]) -> str:
    return "; ".join(f"{with_error(*e)} with {m.name}" for m, e in estimates.items())


def row(method: Method, decay: str, result: fs.Result) -> list[str]:
    loss, error = (float(result[name][-1]) for name in ("loss", "loss_se"))
    exact, z = (float(values["loss"][-1]) for values in (result.exact, result.z_scores))
    return [method.name, decay, with_error(loss, error), f"{exact:.5g}", f"{z:.1f}"]


def table(decays: Decays, shapes: Shapes) -> list[list[str]]:
    return [
        ["optimizer", "decay", "loss at the end", "exact", "z"],
        *(row(m, f"tau {tau}", decays[tau].member(m.name)) for m in METHODS for tau in TAUS),
        *(row(m, name, shapes[m].member(name)) for m in METHODS for name in SHAPES),
    ]


def draw_drop(ax: plt.Axes, shapes: Shapes, name: str) -> None:
    """Draw a variable around the first drop, the loss relative to the exact one there."""
    since = RECORD - DROPS[0]
    near, at_drop = (since >= BEFORE) & (since <= AFTER[-1]), since == 0
    for method, colour in zip(METHODS, COLOURS, strict=False):
        result = shapes[method].member("step")
        if name not in result.data:
            continue
        value, error, exact = result[name].values, result[f"{name}_se"].values, theory(result, name)
        if name == "loss":
            value, error, exact = (each / exact[at_drop] for each in (value, error, exact))
        ax.plot(since[near], value[near], color=colour, label=method.name)
        low, high = (value + 2 * side * error for side in (-1, 1))
        ax.fill_between(since[near], low[near], high[near], color=colour, alpha=0.25, linewidth=0)
        ax.plot(since[near], exact[near], color="black", linestyle="--", linewidth=0.8)
    ax.axvline(0, color="0.6", linewidth=0.8)
    ax.set(xscale="symlog", xlabel="steps since the first drop", xlim=(BEFORE, AFTER[-1]))


def draw_decays(ax: plt.Axes, decays: Decays) -> None:
    """Draw the final losses over those of plain SGD."""
    for method, colour in zip(HEAVY, COLOURS[1:], strict=False):
        times = np.array(TAUS) / method.memory
        ratios = [final_ratio(result, method.name, PLAIN.name) for result in decays.values()]
        value, error = np.transpose(ratios)
        ends = [result.exact["loss"].isel(step=-1) for result in decays.values()]
        exact = [end.sel(optimizer=method.name) / end.sel(optimizer=PLAIN.name) for end in ends]
        ax.errorbar(times, value, 2 * error, color=colour, fmt="o", markersize=4)
        ax.plot(times, exact, color=colour, linestyle="--", linewidth=0.9)
    ax.axhline(1, color=COLOURS[0], linewidth=0.8)
    ax.set(xscale="log", xlabel="decay time / memory 1 / (1 - mu)")
    ax.set(ylabel="loss at the end / that of plain SGD", title="mismatch, each at its best rate")


def draw(decays: Decays, shapes: Shapes) -> plt.Figure:
    figure, axes = plt.subplots(1, 3, figsize=(13.5, 4.8))
    draw_drop(axes[0], shapes, "loss")
    axes[0].set(ylabel="loss / exact loss at the drop", title="shock: the rate falls by 10")
    draw_drop(axes[1], shapes, "velocity_alignment")
    axes[1].set(ylabel="mean cosine of velocity and gradient", title="staleness")
    draw_decays(axes[2], decays)
    handles, labels = axes[0].get_legend_handles_labels()
    handles += axes[0].plot([], [], color="black", linestyle="--", linewidth=0.8)
    figure.legend(handles, [*labels, "exact"], loc="outside lower center", ncols=6)
    figure.suptitle(
        "Momentum and decaying rates on a noisy quadratic; bars and bands ± 2 standard errors"
    )
    return figure


def study(quick: bool) -> Outcome:
    trajectories = 256 if quick else 8192
    decays, shapes = run_decays(trajectories), run_shapes(trajectories)
    scores = [
        (steps["velocity_alignment"] - velocity_cosine(steps.study))
        / steps["velocity_alignment_se"]
        for steps in (shapes[m].member("step") for m in HEAVY)
    ]
    cosine = max(float(abs(score).max()) for score in scores)
    rows = table(decays, shapes)
    loss = max(abs(float(row[-1])) for row in rows[1:])
    print(f"against theory: largest |z| = {loss:.1f} of the final loss, {cosine:.1f} of the cosine")
    return Outcome(draw(decays, shapes), rows, [judge_decays(decays), *judge_shapes(shapes)])


if __name__ == "__main__":
    main(study)
