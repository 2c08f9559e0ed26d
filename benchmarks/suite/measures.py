"""What each measure, and all of them, cost on top of the loss.

cd benchmarks && python -m suite.measures  # prints the table
"""

from __future__ import annotations

import numpy as np

import fastsched as fs
from fastsched.kernels import reference

from .common import check_start, median_ratio, needs, seconds_of_run, study, take_turns

ROUNDS = 9
EMA = 0.99
ROWS = np.random.default_rng(0).normal(size=(1000, 100))
TEST_ROWS = ROWS[:200] + 0.1


def quadratic(momentum):
    return study(momentum=momentum, record=16)


def double_well(momentum):
    return _on(fs.DoubleWell(100, start=fs.Normal()), 0.1, momentum)


def data_set(momentum):
    landscape = fs.Dataset(
        ROWS, ROWS.sum(axis=1), test_inputs=TEST_ROWS, test_targets=TEST_ROWS.sum(axis=1)
    )
    return _on(landscape, 0.01, momentum)


def _on(landscape, rate, momentum):
    optimizer = fs.SGD(rate * (1 - momentum), momentum)
    return study(100, 6400, record=16).replace(landscape=landscape, optimizer=optimizer)


class Walk:
    """Sixteen trajectories of plain NumPy: shapes are (times, trajectories, coordinates)."""

    def __init__(self, value):
        points = list(
            reference.path(
                value.landscape,
                value.optimizer,
                value.batch_sizes(),
                np.arange(16),
                value.seed,
                value.precision,
            )
        )
        self.theta = np.stack([point.theta.astype(float) for point in points])
        self.gradients = np.stack([point.gradient.astype(float) for point in points[1:3]])
        self.model = value.landscape.model
        self.loss = np.stack([self.model.reference_loss(x) for x in self.theta])


def hitting_time(walk):
    return {"hitting_time": np.argmax(walk.loss <= 2, axis=0)}


def escape(walk):
    return {"escape_probability": np.any(np.linalg.norm(walk.theta, axis=-1) > 32, axis=0)}


def overshoot(walk):
    x = walk.theta[..., :64]
    return {"overshoot_probability": np.any(x * x[0] < 0, axis=0).T}


def alignment(walk):
    a, b = walk.gradients / np.linalg.norm(walk.gradients, axis=-1, keepdims=True)
    return {"gradient_alignment": np.sum(a * b, axis=-1)}


def sharpness(walk):
    h = walk.model.eigenvalues
    return {"hessian_trace": np.full(16, h.sum()), "hessian_max": np.full(16, h.max())}


def average(walk):
    mean = walk.theta[0]
    for theta in walk.theta[1:]:
        mean = EMA * mean + (1 - EMA) * theta
    return {"average_loss": walk.model.reference_loss(mean)}


def basins(walk):
    right = walk.theta[-1, :, 0] > 0
    return {"basin_final": np.array([~right, right])}


def test_loss(walk):
    residuals = (walk.theta[-1] - 1) @ TEST_ROWS.T
    return {"test_loss": np.mean(residuals**2, axis=-1) / 2}


# Name: the study, how the measure is made, and what it gives, each trajectory's by definition:
# the gradients' alignment at the first recorded step, other curves at the last.
MEASURES = {
    "HittingTime": (quadratic, lambda: fs.HittingTime(2.0), hitting_time),
    "Escape": (quadratic, lambda: fs.Escape(radius=32.0), escape),
    "Overshoot": (quadratic, lambda: fs.Overshoot(), overshoot),
    "Alignment": (quadratic, lambda: fs.Alignment(), alignment),
    "Sharpness": (quadratic, lambda: fs.Sharpness(), sharpness),
    "Average": (quadratic, lambda: fs.Average("ema", decay=EMA), average),
    "Basins": (double_well, lambda: fs.Basins(), basins),
    "TestLoss": (data_set, lambda: fs.TestLoss(), test_loss),
}
ALL = [name for name, (base, _, _) in MEASURES.items() if base is quadratic]


class Cost:
    params = ((*MEASURES, "all"), (0.0, 0.9))
    param_names = ("measure", "momentum")

    def setup(self, name, momentum):
        names = ALL if name == "all" else [name]
        needs("Basins", *names)
        bases, makers, definitions = zip(*(MEASURES[n] for n in names), strict=True)
        self.plain = bases[0](momentum)
        self.measured = self.plain.replace(measures=(fs.Loss(), *(make() for make in makers)))
        check_start(self.plain)
        few = self.measured.replace(trajectories=16)
        alone = fs.run(few.replace(measures=fs.Loss()), progress=False)
        data, walk = fs.run(few, progress=False).data, Walk(few)
        np.testing.assert_allclose(data["loss"], alone["loss"], rtol=1e-6)
        for define in definitions:
            for variable, values in define(walk).items():
                found = data[variable]
                if "step" in found.dims:
                    found = found.isel(step=0 if variable == "gradient_alignment" else -1)
                np.testing.assert_allclose(found, values.mean(axis=-1), rtol=1e-3, err_msg=variable)

    def track_ratio(self, name, momentum):
        seconds = take_turns(
            {
                "plain": lambda k: seconds_of_run(self.plain),
                "measured": lambda k: seconds_of_run(self.measured),
            },
            ROUNDS,
        )
        return median_ratio(seconds["measured"], seconds["plain"])

    track_ratio.unit = "times the run of Loss alone"


def main():
    print("| measure | SGD | momentum 0.9 |\n|---|---|---|")
    for name in Cost.params[0]:
        ratios = []
        for momentum in Cost.params[1]:
            cost = Cost()
            cost.setup(name, momentum)
            ratios.append(cost.track_ratio(name, momentum))
        print(f"| {name} | {ratios[0]:.2f} | {ratios[1]:.2f} |", flush=True)


if __name__ == "__main__":
    main()
