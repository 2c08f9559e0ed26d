"""Mean cosines of gradients and velocities against exact ones of Gaussian vectors."""

from __future__ import annotations

import numpy as np
import pytest

import fastsched as fs

H, SIGMA = np.array([1.0, 0.4, 0.1]), np.array([0.8, 0.5, 1.0])


def run(landscape, optimizer, steps, trajectories, record, **options):
    measures = (fs.Loss(()), fs.Alignment())
    study = fs.Study(
        landscape, optimizer, steps, trajectories, record=record, measures=measures, **options
    )
    return study, fs.run(study, progress=False).data


def check(data, name, step, exact):
    value, error = (float(data[name + end].sel(step=step)) for end in ("", "_se"))
    assert abs(value - exact) <= 4 * error
    # Cosines may be near zero: 0.01 is one part in a hundred of their range.
    assert error < 0.01 / 8


def test_gradients_on_the_way_down():
    """At a changing rate and batch size, from a random start."""
    steps, batch, minimum = 12, fs.Linear(2, 12, final=7), np.array([0.0, 0.5, -0.5])
    landscape = fs.Quadratic(H, SIGMA, fs.Normal(1.5, 0.3), minimum)
    optimizer = fs.SGD(fs.Linear(0.9, 12, final=0.1))
    study, data = run(landscape, optimizer, steps, 250_000, np.arange(13), batch_size=batch)
    moments = fs.exact(study)
    sizes = study.batch_sizes()
    rule = fs.theory.linear_rule(optimizer, steps, sizes).per_step()
    for t in (0, 1, 3, 7, 10):
        gradients = fs.theory.successive_gradients(
            (moments["theta_mean"].values[t] - minimum)[:, None],
            moments["theta_variance"].values[t][:, None, None],
            rule,
            H,
            SIGMA**2,
            stretch=t,
            minimum=minimum,
            batch_sizes=(sizes[t], sizes[t + 1]),
        )
        check(data, "gradient_alignment", t, fs.theory.expected_cosine(*gradients))
    # A rate late by one step would show.
    late = fs.theory.successive_gradients(
        (moments["theta_mean"].values[3] - minimum)[:, None],
        moments["theta_variance"].values[3][:, None, None],
        rule,
        H,
        SIGMA**2,
        stretch=4,
        minimum=minimum,
        batch_sizes=(sizes[3], sizes[4]),
    )
    error = data["gradient_alignment_se"].values[3]
    shift = fs.theory.expected_cosine(*late) - data["gradient_alignment"].values[3]
    assert abs(shift) > 8 * error


def test_stationary_gradients_are_anticorrelated_by_half_the_rate():
    """Along one axis the cosine is the product of signs, (2 / pi) arcsin(-eta h / 2) on average."""
    lr = 0.6
    _, data = run(fs.Quadratic([1.0], start=0.0), fs.SGD(lr), 60, 700_000, [50])
    check(data, "gradient_alignment", 50, 2 / np.pi * np.arcsin(-lr / 2))


@pytest.mark.parametrize("velocity", ["pytorch", "classical"])
def test_stationary_velocity(velocity):
    optimizer = fs.SGD(0.3, momentum=0.7, velocity=velocity)
    _, data = run(fs.Quadratic(H, SIGMA, start=0.0), optimizer, 120, 300_000, [118])
    mean, covariance = fs.theory.stationary_moments(optimizer, H, SIGMA**2)
    rule = fs.theory.linear_rule(optimizer, 1)
    gradients = fs.theory.successive_gradients(mean, covariance, rule, H, SIGMA**2)
    check(data, "gradient_alignment", 118, fs.theory.expected_cosine(*gradients))
    sign = 1 if velocity == "pytorch" else -1
    met = np.empty_like(covariance)
    met[:, 0, 0] = covariance[:, 1, 1]
    met[:, 0, 1] = met[:, 1, 0] = sign * H * covariance[:, 0, 1]
    met[:, 1, 1] = H**2 * covariance[:, 0, 0] + SIGMA**2
    exact = fs.theory.expected_cosine(np.zeros((3, 2)), met)
    check(data, "velocity_alignment", 118, exact)
    assert abs(exact) > 0.05


@pytest.mark.parametrize(("rate", "cosine"), [(0.5, 1.0), (1.5, -1.0)])
def test_without_noise(rate, cosine):
    landscape = fs.Quadratic([1.0, 1.0], 0.0, [1.0, -2.0])
    _, data = run(landscape, fs.SGD(rate), 6, 20, np.arange(7))
    np.testing.assert_allclose(data["gradient_alignment"][:5], cosine, rtol=1e-6)
    np.testing.assert_allclose(data["gradient_alignment_std"][:5], 0, atol=1e-6)
    assert np.isnan(data["gradient_alignment"][5:]).all()
    assert "velocity_alignment" not in data


def test_what_is_not_known_is_nan():
    landscape = fs.Quadratic([1.0], 0.0, start=[1.0])
    _, data = run(landscape, fs.SGD(0.1, 0.5), 6, 20, np.arange(7))
    known = ~np.isnan(data["velocity_alignment"].values)
    assert known.tolist() == [False, True, True, True, True, True, False]
    known = ~np.isnan(data["gradient_alignment"].values)
    assert known.tolist() == [True, True, True, True, True, False, False]
    _, data = run(fs.Quadratic([1.0], 0.0, start=0.0), fs.SGD(0.1, 0.5), 6, 20, np.arange(7))
    for name in ("gradient_alignment", "velocity_alignment"):
        assert np.isnan(data[name]).all()
