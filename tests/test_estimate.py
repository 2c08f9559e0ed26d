"""What a run takes, said before it starts."""

from __future__ import annotations

import numpy as np
import pytest

import fastsched as fs
from fastsched.plan import planned


def study(**changes):
    options = {"steps": 1000, "trajectories": 5000}
    return fs.Study(fs.Quadratic(1 / np.arange(1, 51)), fs.SGD(0.3), **(options | changes))


def test_updates_bytes_and_seconds():
    small, large = study().estimate(), study(trajectories=10**7).estimate("cpu")
    assert small.updates == 5000 * 50 * 1000
    assert large.updates == 2000 * small.updates
    assert 0 < small.seconds < large.seconds < np.inf
    plan = planned(study(), ())
    assert small.bytes == plan.memory
    # A state of 50 numbers, and the records of a block, in every thread.
    assert small.bytes > plan.workers * 16 * 4 * 50
    assert "updates, about" in str(small)


def test_a_call_is_enough(monkeypatch):
    """Trajectories too long for a call are not run to their end."""
    monkeypatch.setattr("fastsched.plan._LARGEST_CALL", 2**20)
    long = study(steps=10**6, trajectories=16)
    feed = planned(long, ()).feed(0)
    assert feed.groups_per_call < feed.arguments.groups
    assert long.estimate().seconds > study(trajectories=16).estimate().seconds


def test_bad_devices():
    with pytest.raises(fs.FastschedError, match="device"):
        study().estimate("gpu")
