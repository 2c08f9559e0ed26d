"""The schedule zoo at equal budget: ten shapes, each at its own best base rate.

    python scripts/schedule_zoo.py [--quick] [-o FIGURE]

Plain SGD on a noisy quadratic (curvatures 1/i, noise covariance H, 100 dimensions) at several
horizons T and batch sizes B. Each schedule's base rate, below the edge of stability, minimises the
exact expected loss at the horizon. Monte Carlo at the tuned rates is a sweep, so that ratios have
the errors of paired trajectories; settings have seeds of their own. The yardstick is the exact loss
of the schedule that is optimal for the landscape, over all sequences of rates.

Decays that never end have time scales in proportion to the horizon: exponential falls to 1 %,
inverse time to 1/21 and 1/sqrt to the root of that. Steps fall by 10 at 1/2 and at 3/4; WSD falls
linearly over the last fifth.

Claim 4 holds if, at every setting, the best and the worst of the decays it names differ in their
final loss, and so do the greatest and the least exponent of that loss over the horizon. Claim 5
holds at a setting if no schedule ends below cosine, and cosine below the median one. Four standard
errors decide.

Sources: Loshchilov & Hutter, ICLR 2017, arXiv:1608.03983; Hu et al. 2024, arXiv:2404.06395;
Defazio et al. 2023, arXiv:2310.07831; Zhang et al., NeurIPS 2019, arXiv:1907.04164.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import minimize_scalar
from study import (
    COLOURS,
    DOES_NOT_HOLD,
    HOLDS,
    HOLDS_ONLY_WHEN,
    Finding,
    Outcome,
    final_ratio,
    main,
    simulate,
    with_error,
)

import fastsched as fs

CLAIM_4 = (
    "4. Exponential, polynomial, inverse-time and 1/sqrt decays differ in convergence rate and "
    "final performance"
)
CLAIM_5 = "5. Cosine annealing, flat at both ends, is especially good"
LANDSCAPE = fs.Quadratic(1 / np.arange(1, 101), noise="hessian", start=fs.Normal())
EDGE = 2.0  # of stability, over the largest curvature
THRESHOLD = 4.0

Shape = Callable[[float, int], fs.Schedule]  # of base rate and horizon

SHAPES: dict[str, Shape] = {
    "constant": lambda rate, steps: fs.Constant(rate),
    "1/sqrt": lambda rate, steps: fs.PowerLaw(rate, 0.5, steps / 20),
    "inverse time": lambda rate, steps: fs.PowerLaw(rate, 1.0, steps / 20),
    "exponential": lambda rate, steps: fs.Exponential(rate, 0.01 ** (1 / steps)),
    "step": lambda rate, steps: fs.MultiStep(rate, [steps // 2, 3 * steps // 4]),
    "WSD": lambda rate, steps: fs.WSD(rate, steps, decay=steps // 5),
    "cosine": fs.Cosine,
    "linear": fs.Linear,
    "quadratic": lambda rate, steps: fs.Polynomial(rate, steps, power=2.0),
    "cubic": lambda rate, steps: fs.Polynomial(rate, steps, power=3.0),
}


NAMED = ("exponential", "linear", "quadratic", "cubic", "inverse time", "1/sqrt")  # by claim 4
HORIZONS = (0, -2)  # the contests of the shortest and the longest one, at batch size 1
DRAWN = ("1/sqrt", "inverse time", "exponential", "step", "cosine", "linear")


class Setting(NamedTuple):
    steps: int
    batch_size: int

    def __str__(self) -> str:
        return f"T = {self.steps}, B = {self.batch_size}"


class Contest(NamedTuple):
    """The sweep over the tuned schedules, and the optimal one with its exact final loss."""

    setting: Setting
    result: fs.SweepResult
    optimum: fs.Schedule
    least: float

    def final(self, name: str) -> tuple[float, float]:
        """Return the final loss, and its standard error."""
        last = self.result.data.sel(lr=name).isel(step=-1)
        return float(last["loss"]), float(last["loss_se"])

    def ranking(self, names: Iterable[str]) -> list[str]:
        return sorted(names, key=self.final)

    def shown_ratio(self, one: str, other: str) -> str:
        return f"{one} / {other} = {with_error(*final_ratio(self.result, one, other))}"

    def above_optimum(self, name: str) -> str:
        loss, error = self.final(name)
        return with_error(loss / self.least, error / self.least)


def problem(schedule: fs.Schedule, setting: Setting) -> fs.Study:
    return fs.Study(
        LANDSCAPE,
        fs.SGD(schedule),
        setting.steps,
        1,
        setting.batch_size,
        record=30,
        measures=fs.Loss(()),
    )


def tune(shape: Shape, setting: Setting) -> fs.Schedule:
    """Return the schedule whose base rate makes the exact loss at the horizon smallest."""

    def final(log_rate: float) -> float:
        schedule = shape(np.exp(log_rate), setting.steps)
        return float(np.log(fs.exact(problem(schedule, setting))["loss"][-1]))

    best = minimize_scalar(final, bounds=np.log([1e-3, EDGE]), method="bounded")
    return shape(np.exp(best.x), setting.steps)


def compete(setting: Setting, trajectories: int, seed: int) -> Contest:
    optimum = fs.theory.optimal_schedule(LANDSCAPE, *setting)
    study = problem(optimum, setting)
    tuned = {name: tune(shape, setting) for name, shape in SHAPES.items()}
    entrants = study.replace(trajectories=trajectories, seed=seed)
    return Contest(
        setting,
        simulate(fs.sweep(entrants, {"optimizer.lr": tuned})),
        optimum,
        float(fs.exact(study)["loss"][-1]),
    )


def horizon_exponents(first: Contest, last: Contest) -> dict[str, np.ndarray]:
    """Return the exponents of the final loss over the horizon, with their errors, by schedule."""
    span = np.log(last.setting.steps / first.setting.steps)
    exponents = {}
    for name in SHAPES:
        exponents[name] = log_quotient(last.final(name), first.final(name)) / span
    return exponents


def log_quotient(one: tuple[float, float], other: tuple[float, float]) -> np.ndarray:
    """Return the logarithm of a quotient of independent estimates, and its standard error."""
    (x, x_error), (y, y_error) = one, other
    return np.array([np.log(x / y), np.hypot(x_error / x, y_error / y)])


def judge_differences(contests: Sequence[Contest], exponents: dict[str, np.ndarray]) -> Finding:
    """Judge claim 4."""
    losses_differ, numbers = True, []
    for contest in contests:
        ranking = contest.ranking(NAMED)
        ratio, error = final_ratio(contest.result, ranking[-1], ranking[0])
        losses_differ &= ratio - 1 > THRESHOLD * error
        numbers.append(f"{contest.setting}: {contest.shown_ratio(ranking[-1], ranking[0])}")
    fastest, *_, slowest = sorted(NAMED, key=lambda name: exponents[name][0])
    first, last = (final_ratio(contests[k].result, slowest, fastest) for k in HORIZONS)
    growth, error = log_quotient(last, first)
    rates_differ = growth > THRESHOLD * error
    reason = (
        f"final losses at {'; '.join(numbers)}; exponents over the horizon: "
        f"{fastest} {with_error(*exponents[fastest])}, {slowest} {with_error(*exponents[slowest])}"
    )
    if losses_differ and rates_differ:
        return Finding(CLAIM_4, HOLDS, reason)
    if losses_differ or rates_differ:
        part = "final performance" if losses_differ else "convergence rate"
        return Finding(CLAIM_4, HOLDS_ONLY_WHEN, f"read of {part} alone: {reason}")
    return Finding(CLAIM_4, DOES_NOT_HOLD, reason)


def judge_cosine(contests: Sequence[Contest]) -> Finding:
    """Judge claim 5."""
    good, numbers = [], []
    for contest in contests:
        ranking = contest.ranking(SHAPES)
        rival = next(name for name in ranking if name != "cosine")
        median = ranking[len(ranking) // 2]
        gap, error = final_ratio(contest.result, "cosine", rival)
        lead, lead_error = final_ratio(contest.result, "cosine", median)
        if gap - 1 < THRESHOLD * error and lead - 1 < -THRESHOLD * lead_error:
            good.append(str(contest.setting))
        ratios = [
            contest.shown_ratio("cosine", name) for name in dict.fromkeys((rival, "linear", median))
        ]
        numbers.append(
            f"{contest.setting}: place {1 + ranking.index('cosine')} of {len(ranking)}, "
            f"{', '.join(ratios)}, cosine / optimum = {contest.above_optimum('cosine')}"
        )
    reason = "; ".join(numbers)
    if len(good) == len(contests):
        return Finding(CLAIM_5, HOLDS, reason)
    if good:
        return Finding(CLAIM_5, HOLDS_ONLY_WHEN, f"{' or '.join(good)}; {reason}")
    return Finding(CLAIM_5, DOES_NOT_HOLD, reason)


def draw(contests: Sequence[Contest]) -> plt.Figure:
    figure, (curves, rates, finals) = plt.subplots(1, 3, figsize=(14, 4.8))
    setting, result, optimum, least = contests[1]
    step = result["step"]
    for colour, name in zip(COLOURS, DRAWN, strict=False):
        entry = result.member(name)
        loss, error = entry["loss"], 2 * entry["loss_se"]
        curves.errorbar(step, loss, error, fmt=".", color=colour, label=name)
        curves.plot(step, entry.exact["loss"], "--", color=colour, linewidth=1.2)
        rates.plot(entry.study.optimizer.lr.values(setting.steps), color=colour, label=name)
    curves.axhline(least, color="k", linestyle=":", label="optimum at the horizon")
    curves.plot([], [], "k--", linewidth=1.2, label="exact")
    curves.set(xscale="log", yscale="log", xlabel="step", title=str(setting))
    curves.set(ylabel="loss (mean ± 2 standard errors)", xlim=(0.9, None))
    rates.plot(optimum.values(setting.steps), "k--", label="optimum")
    rates.set(xlabel="step", ylabel="learning rate", title=f"tuned rates, {setting}")
    rates.set_ylim(bottom=0)
    names = contests[-1].ranking(SHAPES)[::-1]
    for colour, marker, contest in zip(COLOURS, "osD^", contests, strict=False):
        loss, error = np.transpose([contest.final(name) for name in names]) / contest.least
        place = np.arange(len(names))
        finals.errorbar(
            loss, place, xerr=2 * error, fmt=marker, color=colour, label=contest.setting
        )
    finals.set_yticks(range(len(names)), names)
    finals.axvline(1, color="k", linestyle="--")
    finals.set(xscale="log", xlabel="final loss / that of the optimum (± 2 standard errors)")
    finals.xaxis.set_major_formatter("{x:g}")
    finals.xaxis.set_minor_formatter("{x:g}")
    for ax in (curves, rates, finals):
        ax.legend()
    return figure


def table(contests: Sequence[Contest], exponents: dict[str, np.ndarray]) -> list[list[str]]:
    heads = [f"rate, loss/optimum: {contest.setting}" for contest in contests]
    rows = [["schedule", *heads, "exponent of T", "largest |z|"]]
    for name in contests[-1].ranking(SHAPES):
        entries = [contest.result.member(name) for contest in contests]
        z = max(float(abs(entry.z_scores["loss"][1:]).max()) for entry in entries)
        cells = [
            f"{entry.study.optimizer.lr(0):.3f}  {contest.above_optimum(name)}"
            for entry, contest in zip(entries, contests, strict=True)
        ]
        rows.append([name, *cells, with_error(*exponents[name]), f"{z:.1f}"])
    return rows


def study(quick: bool) -> Outcome:
    horizons, trajectories = ((200, 600), 1024) if quick else ((250, 1000, 4000), 4096)
    settings = [Setting(steps, 1) for steps in horizons] + [Setting(horizons[-1], 16)]
    contests = [compete(setting, trajectories, seed) for seed, setting in enumerate(settings)]
    exponents = horizon_exponents(*(contests[k] for k in HORIZONS))
    findings = [judge_differences(contests, exponents), judge_cosine(contests)]
    return Outcome(draw(contests), table(contests, exponents), findings)


if __name__ == "__main__":
    main(study)
