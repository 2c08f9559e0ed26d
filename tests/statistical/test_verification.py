"""The distribution of z-scores over randomly drawn studies, and the faults it shows."""

import dataclasses

import numpy as np
import pytest

import fastsched as fs
from fastsched import verification
from fastsched.kernels import separable
from fastsched.landscapes.base import Separable

FAST, COMPLETE, PLANTED = 40, 400, 80


def test_drawn_studies():
    assert verification.complaints(verification.scores(range(FAST))) == []


@pytest.fixture(scope="module")
def complete():
    return list(verification.scores(range(FAST, FAST + COMPLETE)))


@pytest.mark.slow
def test_many_drawn_studies(complete):
    assert verification.complaints(complete) == []
    for name in ("optimizer", "weight decay", "learning rate", "batch size", "precision"):
        of_family = {score.families[name] for score in complete}
        assert len(of_family) >= {"learning rate": 19, "weight decay": 5, "optimizer": 5}.get(
            name, 2
        )


@pytest.mark.slow
def test_standard_errors_too_small(complete):
    """By 10 %."""
    found = verification.complaints(dataclasses.replace(s, z=s.z / 0.9) for s in complete)
    for statistic in verification.STATISTICS:
        assert any(text.startswith(f"{statistic}: variance") for text in found)


def planted(studies=PLANTED):
    return verification.complaints(verification.scores(range(studies)))


@pytest.mark.slow
def test_noise_too_strong(monkeypatch):
    """By 1 %."""
    right = Separable.step_table
    monkeypatch.setattr(Separable, "step_table", lambda self, sizes: 1.01 * right(self, sizes))
    assert planted()


@pytest.mark.slow
def test_schedule_late_by_one_step(monkeypatch):
    right = fs.SGD.coefficients

    def late(self, steps):
        rows = right(self, steps)
        return np.concatenate([rows[:1], rows[:-1]])

    monkeypatch.setattr(fs.SGD, "coefficients", late)
    assert planted()


@pytest.mark.slow
def test_velocities_swapped():
    def swapped(study):
        velocity = "classical" if study.optimizer.velocity == "pytorch" else "pytorch"
        optimizer = study.optimizer.replace(velocity=velocity)
        return fs.run(study.replace(optimizer=optimizer), progress=False)

    assert verification.complaints(verification.scores(range(PLANTED), swapped))


@pytest.mark.slow
def test_stream_shared_by_two_trajectories(monkeypatch):
    """Right on average: only the spread of the scores tells."""
    right = "np.uint32(trajectory + lane)"
    assert right in separable._VISIT
    shared = separable._VISIT.replace(right, "np.uint32((trajectory + lane) >> 1)")
    monkeypatch.setattr(separable, "_VISIT", shared)
    assert any("variance" in text for text in planted())
