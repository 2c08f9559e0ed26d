"""Warm-up: does it keep the iterate in its place, and do successive gradients align?

    python scripts/warmup_alignment.py [--quick] [-o FIGURE]

SGD with linear warm-ups of 0 (cold), 10, 30 and 100 steps to the same peak, after which the rate
falls as peak / (1 + t / 40), for the same number of steps and with the same random numbers. On an
ill-conditioned quadratic, far away (start 10, batch 64) or near (start of variance 1, batch 1); and
in a double well x^4/4 - x^2/2, four axes across it, from its right flank, which is five times as
steep as the bottom.

Claim 6: a run is thrown out if its loss more than doubles (quadratic) or if more than 5 % leave
their well, by 4 standard errors. The claim holds where a cold run is thrown out and one with
warm-up is not. Claim 7: gradients align during warm-up if their mean cosine at its end is above
that of the first step by 4 standard errors; a run without warm-up of as many steps is beside it.
On the quadratic all stands beside the exact mean cosine and the exact loss.

Sources: Goyal et al. 2017 (arXiv:1706.02677) of the warm-up; Cohen et al. 2021 (arXiv:2103.00065)
of the edge of stability, rate = 2 / curvature.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray
from study import COLOURS, DOES_NOT_HOLD, HOLDS, HOLDS_ONLY_WHEN, Finding, Outcome, main, with_error

import fastsched as fs

CURVATURE = np.geomspace(1, 0.001, 30)
WARMUPS = (0, 10, 30, 100)
STEPS = 600
FALL = 40
RECORD = np.unique(
    np.concatenate(
        [[0], np.geomspace(1, STEPS, 50).astype(int), [w // 2 for w in WARMUPS], WARMUPS]
    )
)

THRESHOLD = 4.0  # standard errors
THROWN = {"loss_rise": 2.0, "escape_probability": 0.05}


class Case(NamedTuple):
    """A landscape, its peaks and the one whose alignment is looked at, what tells of a throw."""

    name: str
    landscape: fs.Landscape
    batch: int
    peaks: tuple[float, ...]
    shown: float
    throw: str
    measures: tuple[fs.Measure, ...]

    def study(self, peak: float, warmup: int, trajectories: int) -> fs.Study:
        schedule = fs.InverseTime(peak * FALL, FALL).warmup(warmup)
        return fs.Study(
            self.landscape,
            fs.SGD(schedule),
            STEPS,
            trajectories,
            self.batch,
            record=RECORD,
            measures=(fs.Loss(()), fs.Alignment(), *self.measures),
        )


FAR = Case(
    "far quadratic",
    fs.Quadratic(CURVATURE, noise="hessian", start=10.0),
    64,
    (1.0, 1.5, 2.0, 2.25, 2.5, 2.75, 3.0),
    1.5,
    "loss_rise",
    (fs.Overshoot(),),
)
NEAR = FAR._replace(
    name="near quadratic",
    landscape=fs.Quadratic(CURVATURE, noise="hessian", start=fs.Normal()),
    batch=1,
    peaks=(1.5,),
)
WELL = Case(
    "double well",
    fs.DoubleWell(5, start=fs.Normal([2.0, 1.0, 1.0, 1.0, 1.0], 0.3), noise=0.3),
    1,
    (0.1, 0.2, 0.3, 0.4, 0.5, 0.7),
    0.4,
    "escape_probability",
    (fs.Escape(), fs.Basins()),
)
CASES = (FAR, NEAR, WELL)
Results = dict[tuple[float, int], fs.Result]  # by peak and length of the warm-up


def run_case(case: Case, trajectories: int) -> Results:
    return {
        (peak, warmup): fs.run(case.study(peak, warmup, trajectories), progress=False)
        for peak, warmup in itertools.product(case.peaks, WARMUPS)
    }


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


def cosine_at(result: fs.Result, step: int) -> NDArray[np.float64]:
    """Return mean cosine and error."""
    at = result.data.sel(step=step)
    return np.array([at["gradient_alignment"], at["gradient_alignment_se"]])


def difference(a: NDArray[np.float64], b: NDArray[np.float64]) -> tuple[float, float]:
    """Return a - b of two means with errors."""
    return float(a[0] - b[0]), float(np.hypot(a[1], b[1]))


def throw(case: Case, result: fs.Result) -> tuple[float, float]:
    return float(result[case.throw]), float(result[f"{case.throw}_se"])


def thrown(case: Case, result: fs.Result) -> bool:
    value, error = throw(case, result)
    return value - THROWN[case.throw] > THRESHOLD * error


def verdict(holds: list[bool]) -> str:
    return HOLDS if all(holds) else HOLDS_ONLY_WHEN if any(holds) else DOES_NOT_HOLD


def judge_throws(results: dict[str, Results]) -> Finding:
    """Judge claim 6 by the peaks at which a cold run is thrown out."""
    prevented, conditions, numbers = [], [], []
    for case in (FAR, WELL):
        runs = results[case.name]
        cold = [peak for peak in case.peaks if thrown(case, runs[peak, 0])]
        numbers.append(f"{case.name}: cold runs are thrown out at peaks {listed(cold)}")
        for warmup in WARMUPS[1:]:
            kept = [peak for peak in cold if not thrown(case, runs[peak, warmup])]
            prevented += [peak in kept for peak in cold]
            conditions.append(f"{warmup} steps at {listed(kept)} ({case.name})")
        peak = cold[0] if cold else case.peaks[-1]
        shown = (f"{with_error(*throw(case, runs[peak, w]))} ({w})" for w in WARMUPS)
        numbers.append(f"there {case.throw} at peak {peak} is {', '.join(shown)}")
    final = (results[WELL.name][WELL.shown, w] for w in WARMUPS)
    left = (with_error(float(r["basin_final"][0]), float(r["basin_final_se"][0])) for r in final)
    numbers.append(f"at peak {WELL.shown} {', '.join(left)} end in the other well")
    holds = verdict(prevented)
    condition = "the warm-up, by length, meets these peaks: " + "; ".join(conditions) + ". "
    return Finding(
        "6. A large rate from a random start throws the iterate into a bad region; linear warm-up "
        "prevents it.",
        holds,
        f"{condition if holds == HOLDS_ONLY_WHEN else ''}{'; '.join(numbers)}",
    )


def listed(values: list[float]) -> str:
    return ", ".join(f"{value:g}" for value in values) or "none"


def judge_alignment(results: dict[str, Results]) -> list[Finding]:
    """Judge claim 7, and whether a warm-up keeps gradients aligned."""
    rises, leads, numbers, ahead = {}, {}, [], []
    for case in CASES:
        cold = results[case.name][case.shown, 0]
        for warmup in WARMUPS[1:]:
            warm = results[case.name][case.shown, warmup]
            name = f"{case.name}, {warmup} steps"
            rise = difference(cosine_at(warm, warmup), cosine_at(warm, 0))
            without = difference(cosine_at(cold, warmup), cosine_at(cold, 0))
            lead = difference(cosine_at(warm, warmup // 2), cosine_at(cold, warmup // 2))
            rises[name] = rise[0] > THRESHOLD * rise[1]
            leads[name] = lead[0] > THRESHOLD * lead[1]
            numbers.append(f"{name}: {with_error(*rise)} (cold {with_error(*without)})")
            ahead.append(f"{name}: {with_error(*lead)}")
    return [
        Finding(
            "7. During warm-up successive gradients become more aligned.",
            verdict(list(rises.values())),
            f"{condition(rises)}Change of the mean cosine from the first step to the end of the "
            f"warm-up: {'; '.join(numbers)}",
        ),
        Finding(
            "7. With warm-up successive gradients are more aligned than without.",
            verdict(list(leads.values())),
            f"{condition(leads)}Mean cosine in the middle of the warm-up over that of a cold run at "
            f"the same step: {'; '.join(ahead)}",
        ),
    ]


def condition(holds: dict[str, bool]) -> str:
    if all(holds.values()) or not any(holds.values()):
        return ""
    return f"it is one of {'; '.join(name for name, true in holds.items() if true)}. "


def table(results: dict[str, Results]) -> list[list[str]]:
    rows = [["landscape", "peak", "warm-up", "thrown", "diverged", "loss at the end", "exact"]]
    for case in CASES:
        for (peak, warmup), result in results[case.name].items():
            end = result.data.isel(step=-1)
            exact = "" if result.exact is None else f"{float(result.exact['loss'][-1]):.4g}"
            rows.append(
                [
                    case.name,
                    f"{peak:g}",
                    str(warmup),
                    with_error(*throw(case, result)),
                    with_error(float(end["diverged"]), float(end["diverged_se"])),
                    with_error(float(end["loss"]), float(end["loss_se"])),
                    exact,
                ]
            )
    return rows


def draw_alignment(ax: plt.Axes, case: Case, results: Results) -> None:
    for colour, warmup in zip(COLOURS, WARMUPS, strict=False):
        result = results[case.shown, warmup]
        cosine, error = result["gradient_alignment"], 2 * result["gradient_alignment_se"]
        ax.plot(RECORD, cosine, color=colour, label=f"warm-up {warmup}" if warmup else "cold")
        ax.fill_between(
            RECORD, cosine - error, cosine + error, color=colour, alpha=0.3, linewidth=0
        )
        if isinstance(case.landscape, fs.Quadratic):
            theory = exact_cosine(result.study)
            ax.plot(RECORD, theory, color="black", linestyle="--", linewidth=0.8)
        if warmup:
            ax.plot(warmup, cosine_at(result, warmup)[0], "o", color=colour, markersize=5)
    ax.axhline(0, color="0.6", linewidth=0.8)
    ax.set(xscale="symlog", xlim=(0, STEPS), xlabel="step", ylabel="mean cosine of gradients")
    ax.set_title(f"{case.name}, peak {case.shown}; dots: end of the warm-up")


def draw_throws(ax: plt.Axes, case: Case, results: Results) -> None:
    for colour, warmup in zip(COLOURS, WARMUPS, strict=False):
        value, error = np.array([throw(case, results[p, warmup]) for p in case.peaks]).T
        ax.errorbar(case.peaks, value, 2 * error, color=colour, fmt="o-", markersize=4)
        if isinstance(case.landscape, fs.Quadratic):
            studies = (
                results[p, warmup].study.replace(record=np.arange(STEPS + 1)) for p in case.peaks
            )
            losses = (fs.exact(study.replace(measures=fs.Loss(())))["loss"] for study in studies)
            rise = [float(loss.max() / loss[0]) for loss in losses]
            ax.plot(case.peaks, rise, color="black", linestyle="--", linewidth=0.8)
    ax.set_xlabel("peak rate")


def draw(results: dict[str, Results]) -> plt.Figure:
    figure, axes = plt.subplots(2, 2, figsize=(11, 8))
    draw_alignment(axes[0, 0], FAR, results[FAR.name])
    draw_alignment(axes[0, 1], WELL, results[WELL.name])
    draw_throws(axes[1, 0], FAR, results[FAR.name])
    draw_throws(axes[1, 1], WELL, results[WELL.name])
    axes[1, 0].set(yscale="log", ylabel="largest loss / loss at the start")
    axes[1, 0].set_title("far quadratic: beyond the edge, 2, a long warm-up makes it worse")
    axes[1, 1].set(ylabel="fraction that leaves the well")
    for curvature, where in ((11, "start"), (2, "bottom")):
        axes[1, 1].axvline(2 / curvature, color="0.6", linewidth=0.8)
    axes[1, 1].set_title("double well")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    handles += axes[0, 0].plot([], [], color="black", linestyle="--", linewidth=0.8)
    figure.legend(handles, [*labels, "exact"], loc="outside lower center", ncols=5)
    return figure


def study(quick: bool) -> Outcome:
    trajectories = 512 if quick else 16_384
    results = {case.name: run_case(case, trajectories) for case in CASES}
    return Outcome(
        draw(results), table(results), [judge_throws(results), *judge_alignment(results)]
    )


if __name__ == "__main__":
    main(study)
