"""Flat minima: do schedules that explore end there, and are they robust?

    python scripts/flat_minima.py [--quick] [-o FIGURE]

Two wells of equal depth, one sharp and one flat, with isotropic noise and with noise in
proportion to the curvature; and random fields, whose minima have all shapes. SGD starts near the
border of the wells, or anywhere in a field. Schedules that explore (a large rate that decays,
warm restarts) are held against a small constant rate of the same number of updates, by the trace
of the Hessian at the end: measured in the wells; in a field that of the minimum below. Beside the
wells' occupancy at fixed ratios of rate to batch size stands Boltzmann's (isotropic noise, small
rates), whose limit at low temperature is the entropy ratio, prod sqrt(h_sharp / h_flat).

Robustness: the loss rise at the fields' minima under shifts of fixed length in random directions
(to second order, length^2 trace / 2 d); and logistic regression on several data sets of one
population, at several strengths of l2: the trace of the data's Hessian at the minimum, against
the gap between the losses on new data and on the training data. A difference decides from 4
standard errors on, those of paired trajectories where studies share random numbers.

Sources: Hochreiter & Schmidhuber, Neural Comput. 9 (1997) 1; Keskar et al., ICLR 2017,
arXiv:1609.04836; Jastrzebski et al. 2017, arXiv:1711.04623, of rate over batch; Xie, Sato &
Sugiyama, ICLR 2021, arXiv:2002.03495, of curvature-proportional noise; Dinh et al., ICML 2017,
arXiv:1703.04933, of sharp minima that generalise.
"""

from __future__ import annotations

import functools

import matplotlib.pyplot as plt
import numpy as np
from scipy import stats
from study import (
    COLOURS,
    DOES_NOT_HOLD,
    HOLDS,
    HOLDS_ONLY_WHEN,
    Finding,
    Outcome,
    main,
    simulate,
    with_error,
)

import fastsched as fs
from fastsched.landscapes import Minima

THRESHOLD = 4.0  # standard errors
FLAT = 0
SHARP_CURVATURE = 6.0
ISOTROPIC = 3.0  # standard deviation of the isotropic noise
RATIO = 0.05  # of rate to batch size
SMALL = 0.01  # the small constant rate
WELLS = fs.Wells(
    [[-1.0, 0.0], [1.0, 0.0]],
    [[1.0, 1.0], [SHARP_CURVATURE, SHARP_CURVATURE]],
    softness=0.05,
    start=fs.Normal([0.42, 0.0], 0.2),
)
NOISES = {"isotropic noise": ISOTROPIC, "noise as curvature": "hessian"}
LENGTHS = (0.05, 0.2, 0.8)  # of the shifts
L2 = (0.003, 0.01, 0.03, 0.1, 0.3)

Array = np.ndarray


def schedules(peak: float, steps: int) -> dict[str, fs.Schedule]:
    return {
        "small": fs.Constant(SMALL),
        "cosine": fs.Cosine(peak, steps),
        "step decay": fs.StepDecay(peak, steps // 3),
        "SGDR": fs.WarmRestarts(peak, steps // 4),
    }


@functools.cache
def field(seed: int) -> tuple[fs.RandomField, Minima]:
    start = fs.Normal(std=2.0)
    landscape = fs.RandomField(4, 100, confinement=0.5, noise=2.0, seed=seed, start=start)
    return landscape, landscape.minima()


def wells_trace(peaks: Array, steps: int, n: int) -> dict[str, dict[str, Array]]:
    """Return the trace at the end by noise and schedule, shape (4, peaks).

    Values and errors, and how far they are below those of the small rate, with paired errors.
    """
    names = list(schedules(SMALL, steps))
    study = wells_study(steps, n)

    def at(peak: float) -> Array:
        axes = {"landscape.noise": NOISES, "optimizer.lr": schedules(peak, steps)}
        run = simulate(fs.sweep(study, axes))
        below = [run.compare({"lr": "small"}, {"lr": name}, "hessian_trace") for name in names]
        last = run.data.isel(step=-1).transpose("lr", "noise", ...)
        changes = [
            [b[name].isel(step=-1) for b in below] for name in ("difference", "difference_se")
        ]
        return np.array([last["hessian_trace"], last["hessian_trace_se"], *changes])

    found = np.stack([at(peak) for peak in peaks], axis=-1)
    return {
        title: {name: found[:, k, j] for k, name in enumerate(names)}
        for j, title in enumerate(NOISES)
    }


def wells_study(steps: int, n: int) -> fs.Study:
    measures = (fs.Basins(), fs.Sharpness())
    return fs.Study(WELLS, fs.SGD(SMALL), steps, n, record=2, measures=measures)


def flat_share(batches: tuple[int, ...], time: float, n: int) -> dict[str, Array]:
    """Return the fraction in the flat well after a time, at one ratio of rate to batch size."""
    settings = [(b, RATIO * b, round(time / (RATIO * b))) for b in batches]
    axes = {"landscape.noise": NOISES, "batch_size, optimizer.lr, steps": settings}
    final = simulate(fs.sweep(wells_study(1, n), axes)).data.sel(basin=FLAT)
    shares = np.stack([final["basin_final"], final["basin_final_se"]], axis=1)
    return dict(zip(NOISES, shares, strict=True))


def boltzmann() -> float:
    """Return the flat well's share of exp(-f / D), D = ratio sigma^2 / 2."""
    x, y = np.meshgrid(np.linspace(-7, 5, 1200), np.linspace(-6, 6, 1200), indexing="ij")
    points = np.stack([x.ravel(), y.ravel()], axis=1)
    weight = np.exp(-WELLS.reference_loss(points) / (RATIO * ISOTROPIC**2 / 2))
    return float(weight[WELLS.assign(points) == FLAT].sum() / weight.sum())


def field_ends(seeds: range, peak: float, steps: int, n: int) -> dict[str, Array]:
    """Return trace and loss of the minima reached, on average, shape (2, fields)."""
    lr = schedules(peak, steps)
    ends = []
    for seed in seeds:
        landscape, minima = field(seed)
        of_minima = np.stack([minima.curvatures.sum(axis=1), minima.losses])
        study = fs.Study(landscape, fs.SGD(peak), steps, n, record=2, measures=fs.Basins())
        final = simulate(fs.sweep(study, {"optimizer.lr": lr}))["basin_final"].values
        ends.append(final @ of_minima.T)
    return dict(zip(lr, np.transpose(ends, (1, 2, 0)), strict=True))


def mean_error(values: Array) -> tuple[float, float]:
    return float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(len(values)))


def verdict(signs: Array) -> str:
    """Return what comparisons say: 1 in favour, -1 against, 0 undecided."""
    return HOLDS if np.min(signs) > 0 else HOLDS_ONLY_WHEN if np.max(signs) > 0 else DOES_NOT_HOLD


def decided(value: Array, error: Array) -> Array:
    return np.sign(value) * (abs(value) > THRESHOLD * error)


def judge_wells(
    peaks: Array, traces: dict[str, dict[str, Array]], shares: dict[str, Array], rates: Array
) -> Finding:
    reasons, signs, lowest = [], [], []
    for title, by_name in traces.items():
        small = by_name["small"]
        rows = np.array(
            [decided(*values[2:]) for name, values in by_name.items() if name != "small"]
        )
        signs.append(rows)
        wins = peaks[rows.min(axis=0) > 0]
        lowest.append(f"from peak rate {wins[0]:g} on with {title}" if len(wins) else "")
        reasons.append(
            f"{title}: trace {with_error(*small[:2, -1])} at the small rate; at peak {peaks[-1]:g} "
            + ", ".join(f"{n} {with_error(*v[:2, -1])}" for n, v in by_name.items() if n != "small")
            + f"; at rate/batch {RATIO:g} in the flat well "
            + ", ".join(
                f"{with_error(*share)} (rate {rate:g})"
                for share, rate in zip(shares[title].T, rates, strict=True)
            )
        )
    found = verdict(np.concatenate(signs, axis=1))
    condition = f"the peak rate is large ({', '.join(filter(None, lowest))}). "
    return Finding(
        "Schedules that explore end in flat minima: two wells of equal depth",
        found,
        condition * (found == HOLDS_ONLY_WHEN)
        + "; ".join(reasons)
        + f"; Boltzmann's share {boltzmann():.3f}, entropy ratio alone "
        f"{SHARP_CURVATURE / (1 + SHARP_CURVATURE):.3f}",
    )


def judge_fields(ends: dict[str, Array]) -> Finding:
    reasons, signs = [], []
    for name in ("cosine", "step decay", "SGDR"):
        trace, loss = (mean_error(ends[name][k] - ends["small"][k]) for k in (0, 1))
        signs.append(decided(-trace[0], trace[1]))
        reasons.append(f"{name} {with_error(*trace)} (loss {with_error(*loss)})")
    found = verdict(np.array(signs))
    ahead = [n for n, s in zip(("cosine", "step decay", "SGDR"), signs, strict=True) if s > 0]
    return Finding(
        "Schedules that explore end in flat minima: random fields",
        found,
        f"the schedule is {' or '.join(ahead)}. "
        * (found == HOLDS_ONLY_WHEN)
        + "Change of the final minimum's trace against the small rate's "
        f"{with_error(*mean_error(ends['small'][0]))}, and of its loss, over "
        f"{ends['small'].shape[1]} fields: {', '.join(reasons)}",
    )


def rises(seeds: range, directions: int) -> tuple[Array, Array, Array]:
    """Return traces of all minima, and their loss rises with errors, shape (lengths, minima)."""
    unit = np.random.default_rng(0).standard_normal((directions, 4))
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    traces, means, errors = [], [], []
    for seed in seeds:
        landscape, minima = field(seed)
        traces.append(minima.curvatures.sum(axis=1))
        for location, least in zip(minima.locations, minima.losses, strict=True):
            rise = np.array(
                [landscape.reference_loss(location + r * unit) - least for r in LENGTHS]
            )
            means.append(rise.mean(axis=1))
            errors.append(rise.std(axis=1) / np.sqrt(directions))
    return np.concatenate(traces), np.transpose(means), np.transpose(errors)


def judge_shifts(traces: Array, rise: Array, error: Array) -> Finding:
    """Ask whether the minima rank by loss rise as they do by trace."""
    ranks = [float(stats.spearmanr(traces, row).statistic) for row in rise]
    errors = [(1 - r**2) / np.sqrt(len(traces) - 1) for r in ranks]
    signs = decided(np.array(ranks), np.array(errors))
    quadratic = traces * LENGTHS[0] ** 2 / 8
    ratios = [
        float(np.median(row * 8 / (traces * r**2))) for row, r in zip(rise, LENGTHS, strict=True)
    ]
    return Finding(
        "Flat minima are robust: a small shift of the parameters raises the loss little",
        verdict(signs),
        "the shift is small. " * (verdict(signs) == HOLDS_ONLY_WHEN)
        + f"Rank correlation of trace and rise over {len(traces)} minima "
        + ", ".join(
            f"{with_error(r, e)} at length {length:g} (rise over its second order {q:.3f})"
            for r, e, length, q in zip(ranks, errors, LENGTHS, ratios, strict=True)
        )
        + f"; second order at length {LENGTHS[0]:g}: largest |z| = "
        f"{np.max(abs(rise[0] - quadratic) / error[0]):.1f}",
    )


def gaps(sets: int, steps: int, n: int) -> tuple[Array, Array, Array]:
    """Return trace at the minimum, and gap with its error, of each data set and l2."""
    rng = np.random.default_rng(1)
    truth = rng.standard_normal(20) / 2

    def sample(rows: int) -> tuple[Array, Array]:
        inputs = rng.standard_normal((rows, 20))
        return inputs, rng.random(rows) < 1 / (1 + np.exp(-inputs @ truth))

    new = sample(4000)
    table = []
    for _ in range(sets):
        rows = sample(100)
        data = fs.Dataset(*rows, "logistic", test_inputs=rows[0], test_targets=rows[1])
        study = fs.Study(
            data,
            fs.SGD(fs.Cosine(0.5, steps)),
            steps,
            n,
            batch_size=10,
            record=[steps],
            measures=(fs.Loss(()), fs.TestLoss()),
        )
        tests = {"new": new, "rows": rows}
        axes = {"landscape.l2": L2, "landscape.test_inputs, landscape.test_targets": tests}
        run = simulate(fs.sweep(study, axes))
        sides = ({"test_inputs+test_targets": test} for test in tests)
        gap = run.compare(*sides, "test_loss").isel(step=-1)
        trace = [np.trace(data.replace(l2=l2).hessian()) - l2 * data.dim for l2 in L2]
        table.append([trace, gap["difference"], gap["difference_se"]])
    return tuple(np.transpose(table, (1, 0, 2)))


def judge_gaps(trace: Array, gap: Array) -> Finding:
    """Correlate trace and gap, within a data set over l2 and between data sets at one l2."""
    within = [float(stats.spearmanr(t, g).statistic) for t, g in zip(trace, gap, strict=True)]
    slopes = [np.polyfit(t, g, 1)[0] for t, g in zip(trace, gap, strict=True)]
    centred = [(values - values.mean(axis=0)).ravel() for values in (trace, gap)]
    between = float(np.corrcoef(*centred)[0, 1])
    # The values of one data set go together, so that there are as many as data sets.
    between_error = (1 - between**2) / np.sqrt(len(trace) - 2)
    slope, error = mean_error(np.array(slopes))
    signs = np.array([decided(slope, error), decided(between, between_error)])
    found = verdict(signs)
    which = "over l2 on one data set" if signs[0] > 0 else "between data sets"
    return Finding(
        "Flat minima generalise: the smaller the curvature, the smaller the gap to new data",
        found,
        f"compared {which}. "
        * (found == HOLDS_ONLY_WHEN)
        + f"Over l2 on one data set the gap changes by {with_error(slope, error)} per unit of "
        f"trace (mean rank correlation {np.mean(within):.2f}); between data sets at one l2 "
        f"their correlation is {with_error(between, between_error)} ({len(trace)} data sets)",
    )


def draw(
    peaks: Array,
    traces: dict[str, dict[str, Array]],
    ends: dict[str, Array],
    trace: Array,
    gap: Array,
    error: Array,
) -> plt.Figure:
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(14, 5))
    for (title, by_name), fmt in zip(traces.items(), ("o-", "^--"), strict=True):
        for (name, found), colour in zip(by_name.items(), COLOURS, strict=False):
            style = {"fmt": fmt, "ms": 4, "lw": 1, "color": colour}
            left.errorbar(peaks, found[0], 2 * found[1], **style, label=f"{name}, {title}")
    flat, sharp = WELLS.curvatures.sum(axis=1)
    for level, name, up in (
        (flat, "flat minimum", -13),
        (sharp, "sharp minimum", 3),
        (sharp + (flat - sharp) * boltzmann(), "Boltzmann's share, isotropic noise", 3),
    ):
        left.axhline(level, color="black", linestyle="--", linewidth=1)
        left.annotate(name, (peaks[-1], level), (0, up), textcoords="offset points", ha="right")
    left.set(xlabel="peak rate", ylabel="trace of the Hessian at the end", ylim=(0, 14))
    left.set_title("sharp and flat well of equal depth")
    left.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=2)
    for (name, found), colour in zip(ends.items(), COLOURS, strict=False):
        if name != "small":
            change = found - ends["small"]
            middle.plot(change[1], change[0], "o", ms=3, alpha=0.4, color=colour)
            (x, ex), (y, ey) = (mean_error(change[k]) for k in (1, 0))
            style = {"fmt": "s", "ms": 6, "color": colour}
            middle.errorbar(x, y, 2 * ey, 2 * ex, **style, label=f"{name}, mean over fields")
    middle.axhline(0, color="black", linewidth=0.8)
    middle.axvline(0, color="black", linewidth=0.8)
    middle.set(xlabel="change of the final minimum's loss", ylabel="change of its trace")
    middle.set_title("random fields (dots): against the small rate")
    middle.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13))
    for k, l2 in enumerate(L2):
        style = {"fmt": "o", "ms": 3, "color": COLOURS[k]}
        right.errorbar(trace[:, k], gap[:, k], 2 * error[:, k], **style, label=f"l2 = {l2:g}")
    right.plot(trace.T, gap.T, color="0.7", linewidth=0.5, zorder=0)
    right.set(xlabel="trace of the data's Hessian at the minimum")
    right.set_ylabel("loss on new data less that on the training data")
    right.set_title("logistic regression (a line: one data set)")
    right.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=3)
    figure.suptitle("Flat minima (bars: ± 2 standard errors)")
    return figure


def study(quick: bool) -> Outcome:
    peaks = np.array([0.03, 0.1, 0.25] if quick else [0.02, 0.04, 0.07, 0.12, 0.18, 0.25])
    steps, n = (900, 500) if quick else (1800, 4000)
    traces = wells_trace(peaks, steps, n)
    batches = (1, 5) if quick else (1, 2, 4, 6)
    shares = flat_share(batches, 100.0 if quick else 200.0, n)
    seeds = range(6 if quick else 24)
    ends = field_ends(seeds, 0.2, steps // 2, n // 8)
    trace, gap, error = gaps(6 if quick else 24, steps, n // 16)
    table = [["noise", "schedule", "peak rate", "trace at the end"]]
    table += [
        [title, name, f"{peak:g}", with_error(*pair[:2])]
        for title, by_name in traces.items()
        for name, found in by_name.items()
        for peak, pair in zip(peaks, found.T, strict=True)
    ]
    findings = [
        judge_wells(peaks, traces, shares, RATIO * np.array(batches)),
        judge_fields(ends),
        judge_shifts(*rises(seeds, 500 if quick else 4000)),
        judge_gaps(trace, gap),
    ]
    return Outcome(draw(peaks, traces, ends, trace, gap, error), table, findings)


if __name__ == "__main__":
    main(study)
