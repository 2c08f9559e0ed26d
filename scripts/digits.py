"""Schedules on real data: handwritten digits, and the noisy quadratic model of their loss.

    python scripts/digits.py [--quick] [-o FIGURE]

Logistic regression on scikit-learn's digits (`pip install scikit-learn`), with real mini-batch
noise. One pair of digits: loss and test loss at a constant and a cosine rate, with and without
replacement, beside the local quadratic model of `Quadratic.from_dataset`, Monte Carlo against
its exact theory. Then each digit against the rest. Prints tables and draws the pair's losses.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import fastsched as fs
from fastsched.result import Result, format_table

PAIR = (3, 8)
BATCH = 16
L2 = 0.01

# Okabe & Ito's palette.
COLOURS = {"constant": "#0072B2", "cosine": "#D55E00"}


def load() -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels, scaled to [0, 1], and the digits."""
    from sklearn.datasets import load_digits

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


def schedules(rate: float, steps: int) -> dict[str, fs.Schedule]:
    return {"constant": fs.Constant(rate), "cosine": fs.Cosine(rate, steps)}


def run_pair(data: fs.Dataset, rate: float, steps: int, n: int) -> dict[str, dict[str, Result]]:
    """Return results by kind of sampling, or model, and schedule."""
    shuffled = data.replace(replacement=False)
    landscapes = {
        "with replacement": (data, (fs.Loss(), fs.TestLoss())),
        "in epochs": (shuffled, (fs.Loss(), fs.TestLoss())),
        "quadratic model": (fs.Quadratic.from_dataset(data), (fs.Loss(),)),
    }
    return {
        kind: {
            name: fs.run(
                fs.Study(
                    landscape, fs.SGD(lr), steps, n, batch_size=BATCH, measures=measures, record=48
                ),
                progress=False,
            )
            for name, lr in schedules(rate, steps).items()
        }
        for kind, (landscape, measures) in landscapes.items()
    }


def pair_table(results: dict[str, dict[str, Result]], least: float) -> list[list[str]]:
    rows = [
        ["batches drawn", "rate", "loss above the least", "+-", "test loss", "+-", "exact", "z"]
    ]
    for kind, by_rate in results.items():
        for name, result in by_rate.items():
            last = result.data.isel(step=-1)
            model = kind == "quadratic model"
            excess = float(last["loss"]) - (0 if model else least)
            row = [kind, name, f"{excess:.3e}", f"{float(last['loss_se']):.0e}"]
            if model and result.exact is not None:
                exact, z = result.exact["loss"][-1], result.z_scores["loss"][-1]
                row += ["", "", f"{float(exact):.3e}", f"{float(z):.1f}"]
            else:
                row += [f"{float(last['test_loss']):.4f}", f"{float(last['test_loss_se']):.0e}"]
                row += ["", ""]
            rows.append(row)
    return rows


def draw(results: dict[str, dict[str, Result]], least: float, output: Path) -> None:
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
    styles = {"with replacement": "-", "in epochs": "--", "quadratic model": ":"}
    for kind, by_rate in results.items():
        for name, result in by_rate.items():
            step = result["step"].values[1:]
            excess = result["loss"].values[1:] - (0 if kind == "quadratic model" else least)
            label = f"{name} rate, {kind}"
            left.plot(step, excess, styles[kind], color=COLOURS[name], label=label)
            band = 2 * result["loss_se"].values[1:]
            left.fill_between(
                step, excess - band, excess + band, color=COLOURS[name], alpha=0.3, linewidth=0
            )
            if "test_loss" in result.data:
                test = result["test_loss"].values[1:]
                right.plot(step, test, styles[kind], color=COLOURS[name], label=label)
    left.set_ylabel("loss above the least")
    right.set_ylabel("test loss")
    for ax in (left, right):
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xlabel("step (updates)")
    left.legend(frameon=False, fontsize="small")
    figure.suptitle(f"Digits {PAIR[0]} and {PAIR[1]}: logistic regression, batches of {BATCH}")
    figure.savefig(output, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer steps and trajectories")
    parser.add_argument("-o", "--output", type=Path, default=Path("digits.png"), help="the figure")
    arguments = parser.parse_args()
    steps, n = (2000, 256) if arguments.quick else (10_000, 1024)
    pixels, digits = load()

    chosen = np.isin(digits, PAIR)
    data = classes(pixels[chosen], digits[chosen] == PAIR[0])
    rate = 0.5 / float(np.linalg.eigvalsh(data.hessian())[-1])
    least = float(data.reference_loss(data.minimizer()[None])[0])
    results = run_pair(data, rate, steps, n)
    print(f"digits {PAIR[0]} and {PAIR[1]}, {len(data.inputs)} rows, least loss {least:.5f}")
    print("\n".join(format_table(pair_table(results, least))))
    draw(results, least, arguments.output)

    print("\neach digit against the rest, the loss after the last step")
    rows = [["digit", "least loss", "constant", "+-", "cosine", "+-", "test, cosine", "+-"]]
    for digit in range(10):
        data = classes(pixels, digits == digit)
        best = float(data.reference_loss(data.minimizer()[None])[0])
        row = [str(digit), f"{best:.5f}"]
        for lr in schedules(rate, steps).values():
            study = fs.Study(
                data,
                fs.SGD(lr),
                steps,
                n // 8,
                batch_size=BATCH,
                measures=(fs.Loss(()), fs.TestLoss()),
                record=[steps],
            )
            last = fs.run(study, progress=False).data.isel(step=0)
            row += [f"{float(last['loss']):.5f}", f"{float(last['loss_se']):.0e}"]
        row += [f"{float(last['test_loss']):.5f}", f"{float(last['test_loss_se']):.0e}"]
        rows.append(row)
    print("\n".join(format_table(rows)))
    print(f"figure: {arguments.output}")


if __name__ == "__main__":
    main()
