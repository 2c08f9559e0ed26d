"""Schedules on real data: handwritten digits, and the noisy quadratic model of their loss.

    python scripts/digits.py [--quick] [-o FIGURE]

Logistic regression on scikit-learn's digits (`pip install scikit-learn`), with real mini-batch
noise. One pair of digits: loss and test loss at a constant and a cosine rate, with and without
replacement, beside the local quadratic model of `Quadratic.from_dataset`, Monte Carlo against
its exact theory. Then each digit against the rest. Prints tables and draws the pair's losses.
"""

from __future__ import annotations

import sys

import matplotlib.pyplot as plt
import numpy as np
from study import COLOURS, Outcome, main, simulate, with_error

import fastsched as fs
from fastsched.result import Result

PAIR = (3, 8)
BATCH = 16
L2 = 0.01
RATES = ("constant", "cosine")
MODEL = "quadratic model"


def load() -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels, scaled to [0, 1], and the digits."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        sys.exit("the digits are scikit-learn's: pip install scikit-learn")
    digits = load_digits()
    return digits.data / 16, digits.target


def classes(pixels: np.ndarray, labels: np.ndarray, **options: object) -> fs.Dataset:
    """Return logistic regression whose every fourth row is for testing."""
    test = np.arange(len(pixels)) % 4 == 0
    return fs.Dataset(
        pixels[~test],
        labels[~test],
        "logistic",
        l2=L2,
        test_inputs=pixels[test],
        test_targets=labels[test],
        **options,
    )


def simulate_rates(study: fs.Study) -> fs.SweepResult:
    """Return the sweep over a constant and a cosine rate."""
    rate = study.optimizer.lr
    rates = (rate, fs.Cosine(rate, study.steps))
    return simulate(fs.sweep(study, {"optimizer.lr": dict(zip(RATES, rates, strict=True))}))


def simulate_kinds(study: fs.Study) -> dict[str, fs.SweepResult]:
    """Return results by kind of sampling, or model."""
    data = study.landscape
    model = study.replace(landscape=fs.Quadratic.from_dataset(data), measures=fs.Loss())
    return {
        "with replacement": simulate_rates(study),
        "in epochs": simulate_rates(study.replace(landscape=data.replace(replacement=False))),
        MODEL: simulate_rates(model),
    }


def rows(digits: str, kind: str, results: fs.SweepResult, least: float) -> list[list[str]]:
    """Return the rows of the table for a sweep over rates."""
    return [[digits, kind, name, *ends(results.member(name), least)] for name in RATES]


def ends(result: Result, least: float) -> list[str]:
    """Return the cells of the losses at the end and of their exact values."""
    last = result.data.isel(step=-1)
    error = float(last["loss_se"])
    cells = [with_error(float(last["loss"]) - least, error)]
    has_test = "test_loss" in last
    cells += [with_error(float(last["test_loss"]), float(last["test_loss_se"])) if has_test else ""]
    if result.exact is None:
        return [*cells, "", ""]
    exact, z = result.exact["loss"][-1], result.z_scores["loss"][-1]
    return [*cells, f"{float(exact):.3e}", f"{float(z):.1f}"]


def draw(results: dict[str, fs.SweepResult], least: float) -> plt.Figure:
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.8))
    styles = {"with replacement": "-", "in epochs": "--", MODEL: ":"}
    for kind, by_rate in results.items():
        for name, colour in zip(RATES, COLOURS, strict=False):
            result = by_rate.member(name)
            shown = {"color": colour, "linestyle": styles[kind], "label": f"{name} rate, {kind}"}
            draw_curve(left, result, "loss", 0.0 if kind == MODEL else least, shown)
            if "test_loss" in result.data:
                draw_curve(right, result, "test_loss", 0.0, shown)
            if result.exact is not None:
                exact = result.exact["loss"].values[1:]
                left.plot(result["step"].values[1:], exact, color="black", linewidth=0.8, zorder=1)
    left.plot([], [], color="black", linewidth=0.8, label=f"{MODEL}, exact")
    left.set(ylabel="loss above the least", title="training rows")
    right.set(ylabel="test loss", title="test rows")
    for ax in (left, right):
        ax.set(xscale="log", yscale="log", xlabel="step (updates)")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    figure.suptitle(
        f"Digits {PAIR[0]} and {PAIR[1]}: logistic regression, batches of {BATCH}; "
        "bands are ± 2 standard errors"
    )
    return figure


def draw_curve(ax: plt.Axes, result: Result, name: str, base: float, shown: dict) -> None:
    """Draw a loss above a base, with its band."""
    step, value = result["step"].values[1:], result[name].values[1:] - base
    band = 2 * result[f"{name}_se"].values[1:]
    ax.plot(step, value, **shown)
    ax.fill_between(step, value - band, value + band, color=shown["color"], alpha=0.3, linewidth=0)


def least_loss(data: fs.Dataset) -> float:
    return float(data.reference_loss(data.minimizer()[None])[0])


def study(quick: bool) -> Outcome:
    steps, n = (2000, 256) if quick else (10_000, 1024)
    pixels, digits = load()
    chosen = np.isin(digits, PAIR)
    data = classes(pixels[chosen], digits[chosen] == PAIR[0])
    rate = 0.5 / float(np.linalg.eigvalsh(data.hessian())[-1])
    least = least_loss(data)
    measures = (fs.Loss(), fs.TestLoss())
    pair = fs.Study(data, fs.SGD(rate), steps, n, BATCH, measures=measures, record=48)
    results = simulate_kinds(pair)
    table = [["digits", "batches drawn", "rate", "loss above the least", "test loss", "exact", "z"]]
    for kind, by_rate in results.items():
        title = f"{PAIR[0]} against {PAIR[1]}"
        table += rows(title, kind, by_rate, 0.0 if kind == MODEL else least)
    for digit in range(10):
        data = classes(pixels, digits == digit)
        by_rate = simulate_rates(pair.replace(landscape=data, trajectories=n // 8, record=[steps]))
        title = f"{digit} against the rest"
        table += rows(title, "with replacement", by_rate, least_loss(data))
    return Outcome(draw(results, least), table, [])


if __name__ == "__main__":
    main(study)
