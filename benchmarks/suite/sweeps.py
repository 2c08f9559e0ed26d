"""A sweep beside one run of as many trajectories, in turns.

`python -m suite.sweeps` prints the ratio at full size: 1,000 members and 500 steps.
"""

from __future__ import annotations

import numpy as np

import fastsched as fs

from .common import check, exact_loss, median_ratio, needs, seconds_of_run, study, take_turns

TRAJECTORIES = 1000


class Members:
    """Rates with 1,000 trajectories each, at d = 100; one run has as many in all."""

    members, steps, rounds = 100, 100, 5

    def setup(self):
        needs("sweep")
        member = study(100, TRAJECTORIES, self.steps)
        rates = [fs.Cosine(x, self.steps) for x in np.linspace(0.05, 0.5, self.members).tolist()]
        self.one = member.replace(trajectories=self.members * TRAJECTORIES)
        self.sweep = fs.sweep(member, {"optimizer.lr": rates})
        check(self.one)
        last = fs.run(self.sweep, progress=False).data.isel(step=-1)
        exact = [exact_loss(member.replace(optimizer=fs.SGD(rate))) for rate in rates]
        z = (last["loss"].values - exact) / last["loss_se"].values
        assert np.all(np.abs(z) < 5), z

    def track_ratio(self):
        self.seconds = take_turns(
            {
                "one": lambda k: seconds_of_run(self.one),
                "sweep": lambda k: seconds_of_run(self.sweep),
            },
            self.rounds,
        )
        return median_ratio(self.seconds["sweep"], self.seconds["one"])

    track_ratio.unit = "times one run of as many trajectories"


def main():
    large = Members()
    large.members, large.steps, large.rounds = 1000, 500, 2
    large.setup()
    ratio = large.track_ratio()
    seconds = {name: min(values) for name, values in large.seconds.items()}
    print(f"one run {seconds['one']:.1f} s, sweep {seconds['sweep']:.1f} s, ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
