"""Warm-up: does it keep the iterate in its place, and do successive gradients align?

    python scripts/warmup_alignment.py [--quick] [-o FIGURE]

SGD with linear warm-ups of 0 (cold), 10, 30 and 100 steps to the same peak, after which the rate
falls as peak / (1 + t / 40), for the same number of steps and with the same random numbers. On an
ill-conditioned quadratic, from far away (all coordinates 10, batch 64) and from nearby (normal,
batch 1); and in a double well along the first of five axes, from its right flank, where the
curvature is five times that of the bottom, and from the saddle.

Claim 6: a run is thrown out if its loss more than doubles (quadratic), or if more than 5 % leave
their well, by 4 standard errors. The claim holds where a cold run is thrown out and one with
warm-up is not. Claim 7: gradients align during warm-up if their mean cosine at its end is above
that at its start by 4 standard errors, taken as those of independent runs. Beside it stands the
cold run of as many steps; their difference at one step has the error of paired trajectories.

On quadratics the mean cosine and the loss stand beside their exact values; of the largest loss
there is the largest exact mean.

Sources: Goyal et al. 2017 (arXiv:1706.02677) of the warm-up; Cohen et al. 2021 (arXiv:2103.00065)
of the edge of stability, rate = 2 / curvature.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray
from study import COLOURS, Finding, Outcome, main, simulate, verdict, with_error

import fastsched as fs

WARMUPS = (0, 10, 30, 100)
STEPS = 600
FALL = 40
RECORD = np.unique(
    [0, *np.geomspace(1, STEPS, 50).astype(int), *WARMUPS, *(w // 2 for w in WARMUPS)]
)

THRESHOLD = 4.0  # standard errors
THROWN = {"loss_rise": 2.0, "escape_probability": 0.05}


class Case(NamedTuple):
    """A start on a landscape; the peak whose alignment is shown; how a throw is measured."""

    name: str
    landscape: fs.Landscape
    batch: int
    peaks: tuple[float, ...]
    shown: float
    throw: str
    measures: tuple[fs.Measure, ...]

    def sweep(self, peak: float, trajectories: int) -> fs.Sweep:
        """Return the sweep over the warm-ups."""
        study = fs.Study(
            self.landscape,
            fs.SGD(fs.InverseTime(peak * FALL, FALL).warmup(0)),
            STEPS,
            trajectories,
            self.batch,
            record=RECORD,
            measures=(fs.Loss(()), fs.Alignment(), *self.measures),
        )
        return fs.sweep(study, {"optimizer.lr.steps": WARMUPS})

    def thrown(self, result: fs.Result) -> tuple[float, float]:
        return float(result[self.throw]), float(result[f"{self.throw}_se"])

    def is_thrown(self, result: fs.Result) -> bool:
        value, error = self.thrown(result)
        return value - THROWN[self.throw] > THRESHOLD * error


FAR = Case(
    "far quadratic",
    fs.Quadratic(np.geomspace(1, 0.001, 30), noise="hessian", start=10.0),
    64,
    (1.0, 1.5, 2.0, 2.25, 2.5, 2.75, 3.0),
    1.5,
    "loss_rise",
    (fs.Overshoot(),),
)
NEAR = FAR._replace(
    name="near quadratic",
    landscape=fs.Quadratic(FAR.landscape.curvature, noise="hessian", start=fs.Normal()),
    batch=1,
    peaks=(1.5,),
)
FLANK = Case(
    "double well, flank",
    fs.DoubleWell(5, start=fs.Normal([2.0, 1.0, 1.0, 1.0, 1.0], 0.3), noise=0.3),
    1,
    (0.1, 0.2, 0.3, 0.4, 0.5, 0.7),
    0.4,
    "escape_probability",
    (fs.Escape(), fs.Basins()),
)
SADDLE = FLANK._replace(
    name="double well, saddle", landscape=fs.DoubleWell(5, start=0.0, noise=0.05), peaks=(0.4,)
)
CASES = (FAR, NEAR, FLANK, SADDLE)

Results = dict[float, fs.SweepResult]  # by peak, over the warm-ups


def exact_cosine(study: fs.Study) -> NDArray[np.float64]:
    """Return the exact `gradient_alignment`, NaN from the last update on."""
    exact, landscape = fs.exact(study), study.landscape
    mean, variance = exact["theta_mean"].values, exact["theta_variance"].values
    rule = fs.theory.linear_rule(study.optimizer, STEPS, study.batch_size).per_step()
    cosines = np.full(len(RECORD), np.nan)
    for k in np.flatnonzero(RECORD < STEPS - 1):
        joint = fs.theory.successive_gradients(
            mean[k, :, None],
            variance[k, :, None, None],
            rule,
            landscape.eigenvalues,
            landscape.noise_std**2,
            stretch=int(RECORD[k]),
            batch_sizes=(study.batch_size, study.batch_size),
        )
        cosines[k] = fs.theory.expected_cosine(*joint)
    return cosines


def largest_z(results: dict[str, Results]) -> tuple[float, float]:
    """Return the largest |z| of loss and mean cosine of the runs on quadratics."""
    runs = [result for case in (FAR, NEAR) for result in results[case.name].values()]
    loss = max(float(abs(result.z_scores["loss"]).max()) for result in runs)
    shown = [results[case.name][case.shown].member(w) for case in (FAR, NEAR) for w in WARMUPS]
    cosine = max(
        float(
            abs(
                (r["gradient_alignment"] - exact_cosine(r.study)) / r["gradient_alignment_se"]
            ).max()
        )
        for r in shown
    )
    return loss, cosine


def change(result: fs.Result, at: int) -> tuple[float, float]:
    """Return the mean cosine at a step less that at the start, and its error."""
    end, start = result.data.sel(step=at), result.data.sel(step=0)
    value = end["gradient_alignment"] - start["gradient_alignment"]
    error = np.hypot(end["gradient_alignment_se"], start["gradient_alignment_se"])
    return float(value), float(error)


def lead(result: fs.SweepResult, warmup: int) -> tuple[float, float]:
    """Return the mean cosine halfway through a warm-up less that of the cold run, and its error."""
    halfway = result.compare(warmup, 0, "gradient_alignment").sel(step=warmup // 2)
    return float(halfway["difference"]), float(halfway["difference_se"])


def listed(values: Iterable[float]) -> str:
    return ", ".join(f"{value:g}" for value in values) or "none"


def judge_throws(results: dict[str, Results]) -> Finding:
    """Judge claim 6 by the peaks at which cold runs are thrown out."""
    prevented, where, numbers = [], [], []
    for case in (FAR, FLANK):
        runs = results[case.name]
        cold = [peak for peak in case.peaks if case.is_thrown(runs[peak].member(0))]
        kept = {w: [p for p in cold if not case.is_thrown(runs[p].member(w))] for w in WARMUPS[1:]}
        prevented += [peak in row for row in kept.values() for peak in cold]
        lengths = "; ".join(f"{listed(row)} after {w} steps" for w, row in kept.items())
        where.append(f"{case.name}, of peaks {listed(cold)}: {lengths}")
        for peak in cold[:2]:
            values = (f"{with_error(*case.thrown(runs[peak].member(w)))} ({w})" for w in WARMUPS)
            numbers.append(f"{case.name}, peak {peak:g}: {case.throw} {', '.join(values)}")
    shown = results[FLANK.name][FLANK.shown]
    ends = (shown.data.sel(basin=0, steps=w) for w in WARMUPS)
    left = (with_error(float(e["basin_final"]), float(e["basin_final_se"])) for e in ends)
    numbers.append(
        f"of {FLANK.name}, peak {FLANK.shown:g}, end in the other well {', '.join(left)}"
    )
    return Finding(
        "6. A large rate from a random start throws the iterate into a bad region; linear warm-up "
        "prevents it.",
        verdict(prevented),
        f"of the peaks at which cold runs are thrown out, warm-up prevents it at these. "
        f"{'. '.join(where)}. By length of the warm-up, of "
        f"{shown.trajectories} trajectories each: {'; '.join(numbers)}",
    )


def judge_alignment(results: dict[str, Results]) -> list[Finding]:
    """Judge claim 7, and whether it is the warm-up that aligns."""
    rises, leads, changes, gaps = {}, {}, [], []
    for case in CASES:
        result = results[case.name][case.shown]
        warm = [change(result.member(w), w) for w in WARMUPS[1:]]
        cold = [change(result.member(0), w) for w in WARMUPS[1:]]
        ahead = [lead(result, w) for w in WARMUPS[1:]]
        rises[case.name], leads[case.name] = significant(warm), significant(ahead)
        changes.append(f"{case.name} {printed(warm)} (cold {printed(cold)})")
        gaps.append(f"{case.name} {printed(ahead)}")
    lengths = f"after {listed(WARMUPS[1:])} steps"
    return [
        Finding(
            "7. During warm-up successive gradients become more aligned.",
            verdict(list(itertools.chain(*rises.values()))),
            f"{condition(rises)}Change of the mean cosine from the start of the warm-up to its end "
            f"(and of cold runs over as many steps) {lengths}: {'; '.join(changes)}",
        ),
        Finding(
            "7. It is the warm-up that makes successive gradients more aligned.",
            verdict(list(itertools.chain(*leads.values()))),
            f"{condition(leads)}Mean cosine halfway through the warm-up less that of a cold run at "
            f"the same step, {lengths}: {'; '.join(gaps)}",
        ),
    ]


def significant(changes: list[tuple[float, float]]) -> list[bool]:
    return [value > THRESHOLD * error for value, error in changes]


def printed(changes: list[tuple[float, float]]) -> str:
    return ", ".join(itertools.starmap(with_error, changes))


def condition(holds: dict[str, list[bool]]) -> str:
    """Return from which starts, with which warm-ups it holds; nothing if always or never."""
    everything = list(itertools.chain(*holds.values()))
    if all(everything) or not any(everything):
        return ""
    where = (
        f"{name} with a warm-up of {listed(itertools.compress(WARMUPS[1:], row))}"
        for name, row in holds.items()
        if any(row)
    )
    return f"the start is: {'; or '.join(where)}. "


def table(results: dict[str, Results]) -> list[list[str]]:
    rows = [["start", "peak", "warm-up", "rise or escape", "diverged", "loss at the end", "exact"]]
    for case in CASES:
        runs = results[case.name].items()
        for peak, warmup, result in ((p, w, r.member(w)) for p, r in runs for w in WARMUPS):
            end = result.data.isel(step=-1)
            exact = "" if result.exact is None else f"{float(result.exact['loss'][-1]):.4g}"
            diverged = with_error(float(end["diverged"]), float(end["diverged_se"]))
            loss = with_error(float(end["loss"]), float(end["loss_se"]))
            thrown = with_error(*case.thrown(result))
            rows.append([case.name, f"{peak:g}", str(warmup), thrown, diverged, loss, exact])
    return rows


def draw_alignment(ax: plt.Axes, case: Case, results: Results) -> None:
    for colour, warmup in zip(COLOURS, WARMUPS, strict=False):
        result = results[case.shown].member(warmup)
        cosine, error = result["gradient_alignment"], 2 * result["gradient_alignment_se"]
        ax.plot(RECORD, cosine, color=colour, label=f"warm-up of {warmup}" if warmup else "cold")
        ax.fill_between(
            RECORD, cosine - error, cosine + error, color=colour, alpha=0.3, linewidth=0
        )
        ax.plot(warmup, cosine.sel(step=warmup), "o", color=colour, markersize=5)
        if isinstance(case.landscape, fs.Quadratic):
            theory = exact_cosine(result.study)
            ax.plot(RECORD, theory, color="black", linestyle="--", linewidth=0.8)
    ax.set(xscale="symlog", xlim=(-0.1, STEPS), xlabel="step", ylabel="mean cosine of gradients")
    ax.set_title(f"{case.name}, peak {case.shown}; dots: the peak of the rate")


def draw_throws(ax: plt.Axes, case: Case, results: Results, edges: dict[str, float]) -> None:
    """Draw the throws over the peak, and the edges of stability at some curvatures."""
    for colour, warmup in zip(COLOURS, WARMUPS, strict=False):
        value, error = np.array(
            [case.thrown(results[peak].member(warmup)) for peak in case.peaks]
        ).T
        line = "" if isinstance(case.landscape, fs.Quadratic) else "-"
        ax.errorbar(case.peaks, value, 2 * error, color=colour, fmt=f"o{line}", markersize=5)
        if not line:
            largest = [largest_mean(results[peak].member(warmup).study) for peak in case.peaks]
            ax.plot(case.peaks, largest, color=colour, linestyle="--", linewidth=1)
    for name, curvature in edges.items():
        ax.axvline(2 / curvature, color="0.5", linewidth=0.8)
        ax.text(
            2 / curvature,
            0.97,
            f" 2 / curvature {name}",
            transform=ax.get_xaxis_transform(),
            va="top",
            fontsize="small",
        )
    ax.set_xlabel("peak rate")
    ax.set_title(case.name)


def largest_mean(study: fs.Study) -> float:
    """Return the largest exact mean loss over that at the start."""
    loss = fs.exact(study.replace(record=np.arange(STEPS + 1), measures=fs.Loss(())))["loss"]
    return float(loss.max() / loss[0])


def draw(results: dict[str, Results]) -> plt.Figure:
    figure, axes = plt.subplots(2, 2, figsize=(11, 8))
    draw_alignment(axes[0, 0], FAR, results[FAR.name])
    draw_alignment(axes[0, 1], SADDLE, results[SADDLE.name])
    draw_throws(axes[1, 0], FAR, results[FAR.name], {"(largest)": 1.0})
    draw_throws(
        axes[1, 1], FLANK, results[FLANK.name], {"at the start": 11.0, "at the bottom": 2.0}
    )
    axes[1, 0].set(yscale="log", ylabel="largest loss / loss at the start")
    axes[1, 1].set(ylabel="fraction that leaves the well", xlim=(0, 1.6), ylim=(-0.05, 1.15))
    handles, labels = axes[0, 0].get_legend_handles_labels()
    handles += axes[0, 0].plot([], [], color="black", linestyle="--", linewidth=0.8)
    figure.legend(handles, [*labels, "exact"], loc="outside lower center", ncols=5)
    figure.suptitle("Linear warm-up: alignment and throws; bars and bands ± 2 standard errors")
    return figure


def study(quick: bool) -> Outcome:
    trajectories = 512 if quick else 16_384
    results = {
        case.name: {peak: simulate(case.sweep(peak, trajectories)) for peak in case.peaks}
        for case in CASES
    }
    loss, cosine = largest_z(results)
    print(f"against theory: largest |z| = {loss:.1f} of the loss, {cosine:.1f} of the cosine")
    return Outcome(
        draw(results), table(results), [judge_throws(results), *judge_alignment(results)]
    )


if __name__ == "__main__":
    main(study)
