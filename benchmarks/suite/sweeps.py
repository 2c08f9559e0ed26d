"""A sweep beside one run of as many trajectories, in turns."""

from __future__ import annotations

import numpy as np

import fastsched as fs

from .common import check, exact_loss, median_ratio, needs, seconds_of_run, study, take_turns

MEMBERS, STEPS, ROUNDS = 100, 100, 5


class Members:
    """100 rates, each with 1,000 trajectories, at d = 100; one run has 100,000."""

    def setup(self):
        needs("sweep")
        member = study(100, 1000, STEPS)
        rates = [fs.Cosine(rate, STEPS) for rate in np.linspace(0.05, 0.5, MEMBERS).tolist()]
        self.one = member.replace(trajectories=MEMBERS * member.trajectories)
        self.sweep = fs.sweep(member, {"optimizer.lr": rates})
        check(self.one)
        last = fs.run(self.sweep, progress=False).data.isel(step=-1)
        exact = [exact_loss(member.replace(optimizer=fs.SGD(rate))) for rate in rates]
        z = (last["loss"].values - exact) / last["loss_se"].values
        assert np.all(np.abs(z) < 5), z

    def track_ratio(self):
        seconds = take_turns(
            {
                "one": lambda k: seconds_of_run(self.one),
                "sweep": lambda k: seconds_of_run(self.sweep),
            },
            ROUNDS,
        )
        return median_ratio(seconds["sweep"], seconds["one"])

    track_ratio.unit = "times one run of as many trajectories"
