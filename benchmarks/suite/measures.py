"""What the measures cost on top of the loss, on a 1,000-dimensional noisy quadratic.

cd benchmarks && python -m suite.measures
"""

import time

import numpy as np

import fastsched as fs

from .quadratic import check, study

MEASURES = {
    "HittingTime": (fs.HittingTime(0.5),),
    "Escape": (fs.Escape(radius=20.0),),
    "Overshoot": (fs.Overshoot(),),
    "Alignment": (fs.Alignment(),),
    "Sharpness": (fs.Sharpness(),),
    "Average": (fs.Average("ema", decay=0.99),),
}
MEASURES["all"] = tuple(measure for (measure,) in MEASURES.values())
REPEATS = 9


class Cost:
    params = (tuple(MEASURES), (0.0, 0.9))
    param_names = ("measure", "momentum")
    timeout = 300

    def setup(self, measure, momentum):
        self.plain = study(momentum=momentum, record=16)
        self.measured = self.plain.replace(measures=(fs.Loss(), *MEASURES[measure]))
        check(self.plain)
        plain, measured = (fs.run(s, progress=False) for s in (self.plain, self.measured))
        np.testing.assert_allclose(plain["loss"], measured["loss"], rtol=1e-6)

    def track_ratio(self, measure, momentum):
        """Return the time of a run over that of one with the loss alone, side by side."""
        times = np.array(
            [[seconds(s) for s in (self.plain, self.measured)] for _ in range(REPEATS)]
        )
        return float(times[:, 1].min() / times[:, 0].min())

    track_ratio.unit = "times the run of Loss alone"


def seconds(question):
    started = time.perf_counter()
    fs.run(question, progress=False)
    return time.perf_counter() - started


def main():
    for name in MEASURES:
        ratios = []
        for momentum in Cost.params[1]:
            cost = Cost()
            cost.setup(name, momentum)
            ratios.append(cost.track_ratio(name, momentum))
        print(f"{name:12} SGD {ratios[0]:.2f}   momentum {ratios[1]:.2f}", flush=True)


if __name__ == "__main__":
    main()
