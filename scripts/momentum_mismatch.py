"""Momentum and decaying rates: stale velocities, and the shock of a sudden drop.

    python scripts/momentum_mismatch.py [--quick] [-o FIGURE]

The heavy ball with both conventions of the velocity, the rate outside (PyTorch) and inside it
(classical), and plain SGD, on a noisy quadratic. A velocity remembers 1 / (1 - mu) steps; rates
are given as rate / (1 - mu), which is what the heavy ball amounts to in the long run.

Claim 13: the rate is constant, then falls exponentially with a decay time tau for the last 4 tau
steps. For each optimizer and tau the rate with the least exact loss at the end is used. Momentum
and decay do not match where momentum then ends more than 5 % above plain SGD, by 4 standard errors.

Claim 3: step decay, by 10 after each quarter of the steps, against a constant rate and smooth
decays of equal area, the one that is best for step decay. It is effective if it ends below the
constant rate. The drop is a shock if the loss rises after it. Staleness is the cosine of the
velocity with the gradient that it meets. All comparisons are by 4 standard errors.

Sources: Polyak, USSR Comput. Math. Math. Phys. 4 (1964) 1, and `torch.optim.SGD`, of the two
velocities; Zhang et al. 2019 (arXiv:1907.04164) of the model and its exact moments.
"""

from __future__ import annotations

from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from study import COLOURS, DOES_NOT_HOLD, HOLDS, HOLDS_ONLY_WHEN, Finding, Outcome, main, with_error

import fastsched as fs
from fastsched.theory.exact import linear_dynamics
from fastsched.theory.moments import map_moments

LANDSCAPE = fs.Quadratic(np.geomspace(1, 0.01, 20), noise="hessian", start=10.0)
STEPS = 4000
EVERY = STEPS // 4
DROPS = np.arange(EVERY, STEPS, EVERY)
AFTER = np.unique(np.geomspace(1, 600, 28).astype(int))
RECORD = np.unique(
    np.concatenate(
        [np.linspace(0, STEPS, 41).astype(int), *(d + np.append([-20, 0], AFTER) for d in DROPS)]
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

    def study(
        self, schedule: fs.Schedule, record: NDArray[np.int64], trajectories: int = 1
    ) -> fs.Study:
        optimizer = fs.SGD(schedule * (1 / self.memory), self.momentum, velocity=self.velocity)
        measures = (fs.Loss(()), fs.Alignment()) if self.momentum else fs.Loss(())
        return fs.Study(LANDSCAPE, optimizer, STEPS, trajectories, record=record, measures=measures)

    def tuned(self, shape: fs.Schedule) -> float:
        """Return the factor of a shape that gives the least exact loss at the end."""

        def loss(log_rate: float) -> float:
            end = self.study(np.exp(log_rate) * shape, np.array([STEPS]))
            return float(np.nan_to_num(np.log(fs.exact(end)["loss"][-1]), nan=np.inf))

        grid = np.log(np.geomspace(0.01, 3, 16))
        k = int(np.clip(np.argmin([loss(x) for x in grid]), 1, len(grid) - 2))
        best = minimize_scalar(
            loss, bounds=(grid[k - 1], grid[k + 1]), method="bounded", options={"xatol": 0.02}
        )
        return float(np.exp(best.x))


PLAIN = Method(0.0, "pytorch")
HEAVY = tuple(Method(mu, velocity) for mu in (0.9, 0.99) for velocity in ("pytorch", "classical"))


class Ratio(NamedTuple):
    """A ratio of two mean losses and its standard error, that of independent means."""

    value: float
    error: float

    @classmethod
    def of(cls, above: tuple[float, float], below: tuple[float, float]) -> Ratio:
        value = above[0] / below[0]
        return cls(value, value * float(np.hypot(above[1] / above[0], below[1] / below[0])))

    def z(self, level: float) -> float:
        return (self.value - level) / self.error

    def __str__(self) -> str:
        return with_error(self.value, self.error)


def loss_at(result: fs.Result, step: int) -> tuple[float, float]:
    """Return the mean loss and its error."""
    return tuple(float(result[name].sel(step=step)) for name in ("loss", "loss_se"))


def decay(tau: float) -> fs.Schedule:
    return fs.Constant(1.0).then(fs.Exponential(1.0, np.exp(-1 / tau)), STEPS - int(FOLDS * tau))


def run_decays(trajectories: int) -> dict[Method, list[fs.Result]]:
    """Return the results of every method at each decay time, at its best rate."""
    record = np.array([STEPS - 1, STEPS])
    return {
        method: [
            fs.run(
                method.study(method.tuned(decay(tau)) * decay(tau), record, trajectories),
                progress=False,
            )
            for tau in TAUS
        ]
        for method in (PLAIN, *HEAVY)
    }


def run_shapes(trajectories: int) -> dict[Method, dict[str, fs.Result]]:
    """Return the results of every method and shape, of the area that is best for step decay."""
    results = {}
    for method in (PLAIN, *HEAVY):
        area = method.tuned(SHAPES["step"]) * SHAPES["step"].values(STEPS).mean()
        results[method] = {
            name: fs.run(
                method.study(area / shape.values(STEPS).mean() * shape, RECORD, trajectories),
                progress=False,
            )
            for name, shape in SHAPES.items()
        }
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


def rises(result: fs.Result) -> list[Ratio]:
    """Return, for each drop, the largest mean loss soon after it over that at the drop."""
    return [
        max(Ratio.of(loss_at(result, drop + k), loss_at(result, drop)) for k in AFTER)
        for drop in DROPS
    ]


def staleness(result: fs.Result) -> tuple[float, float]:
    """Return the largest change of the velocity's cosine after the first drop, with its error."""
    cosine, error = result["velocity_alignment"], result["velocity_alignment_se"]
    later = DROPS[0] + AFTER
    change = cosine.sel(step=later).values - float(cosine.sel(step=DROPS[0]))
    k = int(np.argmax(np.abs(change)))
    return float(change[k]), float(np.hypot(error.sel(step=later[k]), error.sel(step=DROPS[0])))


def mismatches(decays: dict[Method, list[fs.Result]]) -> dict[Method, list[Ratio]]:
    """Return each method's final losses over those of plain SGD."""
    return {
        method: [
            Ratio.of(loss_at(result, STEPS), loss_at(plain, STEPS))
            for result, plain in zip(decays[method], decays[PLAIN], strict=True)
        ]
        for method in HEAVY
    }


def verdict(cases: list[bool]) -> str:
    return HOLDS if all(cases) else HOLDS_ONLY_WHEN if any(cases) else DOES_NOT_HOLD


def judge_decays(ratios: dict[Method, list[Ratio]]) -> Finding:
    """Judge claim 13 by the decays that are not slower than the velocity."""
    bad = {
        method: [ratio.z(1 + TOLERANCE) > THRESHOLD for ratio in row]
        for method, row in ratios.items()
    }
    fast = [b for m in HEAVY for b, tau in zip(bad[m], TAUS, strict=True) if tau <= m.memory]
    where = "; ".join(
        f"{times.min():.2g} to {times.max():.2g} with {method.name}"
        for method, row in bad.items()
        if any(row)
        for times in [np.array(TAUS)[row] / method.memory]
    )
    condition = f"the decay time, in units of 1 / (1 - mu), is {where}. " if any(fast) else ""
    numbers = "; ".join(f"{max(row)}, {row[-1]} with {m.name}" for m, row in ratios.items())
    return Finding(
        "13. High momentum with a fast decaying rate is a mismatch: today's small rate acts on a "
        "velocity from the time of large ones.",
        verdict(fast),
        f"{condition}The loss at the end over that of plain SGD, each at its best rate, at the "
        f"worst and at the slowest decay: {numbers}",
    )


def judge_shapes(shapes: dict[Method, dict[str, fs.Result]]) -> list[Finding]:
    """Judge the two halves of claim 3."""
    final = {
        name: {
            m: Ratio.of(loss_at(by["step"], STEPS), loss_at(by[name], STEPS))
            for m, by in shapes.items()
        }
        for name in SHAPES
        if name != "step"
    }
    effective = {m: ratio.z(1) < -THRESHOLD for m, ratio in final["constant"].items()}
    peaks = {method: max(rises(by["step"])) for method, by in shapes.items()}
    shocked = {m: peak.z(1) > THRESHOLD for m, peak in peaks.items()}
    stale = "; ".join(f"{with_error(*staleness(shapes[m]['step']))} with {m.name}" for m in HEAVY)

    def listed(ratios: dict[Method, Ratio]) -> str:
        return "; ".join(f"{ratio} with {method.name}" for method, ratio in ratios.items())

    def condition(cases: dict[Method, bool]) -> str:
        if all(cases.values()) or not any(cases.values()):
            return ""
        return f"it is {', or '.join(m.name for m, case in cases.items() if case)}. "

    smooth = ". ".join(f"Over {name}: {listed(final[name])}" for name in list(SHAPES)[2:])
    return [
        Finding(
            "3. Step decay is effective ...",
            verdict(list(effective.values())),
            f"{condition(effective)}Its loss at the end over that of a constant rate of equal "
            f"area: {listed(final['constant'])}. {smooth}",
        ),
        Finding(
            "3. ... but the sudden drop shocks the dynamics.",
            verdict(list(shocked.values())),
            f"{condition(shocked)}The highest loss after a drop over that at the drop: "
            f"{listed(peaks)}. The cosine of velocity and gradient changes after the first drop by "
            f"up to {stale}",
        ),
    ]


def table(
    decays: dict[Method, list[fs.Result]], shapes: dict[Method, dict[str, fs.Result]]
) -> list[list[str]]:
    rows = [["optimizer", "decay", "loss at the end", "exact", "z"]]
    for method in shapes:
        named = {f"tau {tau}": r for tau, r in zip(TAUS, decays[method], strict=True)}
        for name, result in (named | shapes[method]).items():
            loss, error = loss_at(result, STEPS)
            exact = float(result.exact["loss"][-1])
            z = f"{(loss - exact) / error:.1f}"
            rows.append([method.name, name, with_error(loss, error), f"{exact:.5g}", z])
    return rows


def draw_drop(axes: tuple[plt.Axes, plt.Axes], shapes: dict[Method, dict[str, fs.Result]]) -> float:
    """Draw loss and staleness around the first drop; return the cosines' largest |z|."""
    largest = 0.0
    near = np.append([-20, 0], AFTER)
    for method, colour in zip(shapes, COLOURS, strict=False):
        result = shapes[method]["step"]
        at = np.isin(RECORD, DROPS[0] + near)
        (before, _), exact = loss_at(result, DROPS[0]), result.exact["loss"].sel(step=DROPS[0])
        curves = [(axes[0], "loss", before, result.exact["loss"].values / float(exact))]
        if method.momentum:
            cosine = velocity_cosine(result.study)
            z = (result["velocity_alignment"] - cosine) / result["velocity_alignment_se"]
            largest = max(largest, float(abs(z).max()))
            curves.append((axes[1], "velocity_alignment", 1.0, cosine))
        for ax, name, scale, theory in curves:
            value, error = (
                result[name].values[at] / scale,
                2 * result[f"{name}_se"].values[at] / scale,
            )
            ax.plot(near, value, color=colour, label=method.name)
            ax.fill_between(
                near, value - error, value + error, color=colour, alpha=0.25, linewidth=0
            )
            ax.plot(near, theory[at], color="black", linestyle="--", linewidth=0.8)
    for ax, label in zip(
        axes, ("loss / loss at the drop", "cosine of velocity and gradient"), strict=True
    ):
        ax.set(
            xscale="symlog",
            xlabel="steps since the first drop",
            ylabel=label,
            xlim=(-20, AFTER[-1]),
        )
        ax.axvline(0, color="0.6", linewidth=0.8)
    axes[0].set_title("the shock: the rate falls by 10 at step 0")
    axes[1].set_title("staleness")
    return largest


def draw_decays(
    ax: plt.Axes, decays: dict[Method, list[fs.Result]], ratios: dict[Method, list[Ratio]]
) -> None:
    """Draw the final losses over those of plain SGD."""
    exact = {m: np.array([float(r.exact["loss"][-1]) for r in row]) for m, row in decays.items()}
    for method, colour in zip(HEAVY, COLOURS[1:], strict=False):
        times = np.array(TAUS) / method.memory
        value, error = np.array(ratios[method]).T
        ax.errorbar(times, value, 2 * error, color=colour, fmt="o", markersize=4, label=method.name)
        ax.plot(times, exact[method] / exact[PLAIN], color="black", linestyle="--", linewidth=0.8)
    ax.axhline(1, color="0.6", linewidth=0.8)
    ax.set(
        xscale="log",
        xlabel="decay time / memory 1 / (1 - mu)",
        ylabel="final loss / that of plain SGD",
    )
    ax.set_title("the mismatch, at the best rates")


def study(quick: bool) -> Outcome:
    trajectories = 1024 if quick else 16_384
    decays, shapes = run_decays(trajectories), run_shapes(trajectories)
    ratios = mismatches(decays)
    figure, axes = plt.subplots(1, 3, figsize=(13.5, 4.8))
    cosine_z = draw_drop(tuple(axes[:2]), shapes)
    draw_decays(axes[2], decays, ratios)
    handles, labels = axes[0].get_legend_handles_labels()
    handles += axes[0].plot([], [], color="black", linestyle="--", linewidth=0.8)
    figure.legend(handles, [*labels, "exact"], loc="outside lower center", ncols=6)
    figure.suptitle(
        "Momentum under decaying rates on a noisy quadratic; bars and bands ± 2 standard errors"
    )
    results = [r for row in decays.values() for r in row] + [
        r for by in shapes.values() for r in by.values()
    ]
    loss_z = max(float(abs(result.z_scores["loss"]).max()) for result in results)
    rows = table(decays, shapes)
    print(f"against theory: largest |z| = {loss_z:.1f} of the loss, {cosine_z:.1f} of the cosine")
    return Outcome(figure, rows, [judge_decays(ratios), *judge_shapes(shapes)])


if __name__ == "__main__":
    main(study)
