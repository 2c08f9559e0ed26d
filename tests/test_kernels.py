"""The fast kernel against plain NumPy, trajectory by trajectory, and its reproducibility."""

from __future__ import annotations

import os
import subprocess
import sys

import numba
import numpy as np
import pytest
from helpers import fast_losses, same_data, slow_losses
from hypothesis import given, settings
from hypothesis import strategies as st

import fastsched as fs
from fastsched import files
from fastsched.kernels import cache, reference
from fastsched.kernels.reduce import LANES
from fastsched.plan import make_plan

TOLERANCE = {"single": 2e-4, "double": 1e-10}


@st.composite
def schedules(draw, low, high):
    kind = draw(st.sampled_from(["number", "cosine", "steps", "warmup", "table"]))
    a, b = draw(st.floats(low, high)), draw(st.floats(low, high))
    if kind == "number":
        return a
    if kind == "cosine":
        return fs.Cosine(a, draw(st.integers(1, 30)), final=b)
    if kind == "steps":
        return fs.Piecewise([draw(st.integers(1, 20))], [a, b])
    if kind == "warmup":
        return fs.Constant(a).warmup(draw(st.integers(1, 10)), start=b)
    return fs.Table([a, b, (a + b) / 2])


@st.composite
def quadratics(draw):
    dim = draw(st.sampled_from([1, 2, 5, 63, 64, 65, 130]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    curvature = rng.uniform(0.05, 1.0, dim)
    if draw(st.booleans()):
        basis = np.linalg.qr(rng.normal(size=(dim, dim)))[0]
        curvature = basis @ np.diag(curvature) @ basis.T
        curvature = (curvature + curvature.T) / 2
        noise = draw(st.sampled_from([0.0, 0.7, "hessian"]))
        std = 0.5
    else:
        noise = draw(st.sampled_from([0.0, 0.7, "hessian", "vector"]))
        noise = rng.uniform(0, 1, dim) if noise == "vector" else noise
        std = rng.uniform(0, 1, dim)
    start = draw(st.sampled_from(["number", "vector", "normal"]))
    mean = rng.normal(size=dim)
    return fs.Quadratic(
        curvature,
        noise=noise,
        start={"number": 1.5, "vector": mean, "normal": fs.Normal(mean, std)}[start],
        minimum=draw(st.sampled_from([0.0, 0.3])),
    )


@st.composite
def studies(draw):
    optimizer = fs.SGD(
        lr=draw(schedules(0.01, 0.8)),
        momentum=draw(st.one_of(st.just(0.0), schedules(-0.5, 0.9))),
        nesterov=draw(st.booleans()),
        weight_decay=draw(st.one_of(st.just(0.0), schedules(0.0, 0.1))),
        decay=draw(st.sampled_from(fs.SGD.DECAYS)),
        velocity=draw(st.sampled_from(fs.SGD.VELOCITIES)),
    )
    steps = draw(st.integers(1, 40))
    return fs.Study(
        draw(quadratics()),
        optimizer,
        steps=steps,
        trajectories=draw(st.integers(1, 40)),
        batch_size=draw(st.one_of(st.integers(1, 64), st.just(fs.Linear(1, 30, final=20)))),
        seed=draw(st.integers(0, 2**64 - 1)),
        record=np.arange(steps + 1),
        precision=draw(st.sampled_from(["single", "double"])),
    )


@settings(max_examples=60, deadline=None, derandomize=True)
@given(studies())
def test_agrees_with_reference(study):
    fast, slow = fast_losses(study), slow_losses(study)
    assert fast.shape == slow.shape == (study.steps + 1, study.trajectories)
    # The floor of a rounding error in theta, as a loss, for trajectories that reach the minimum.
    scale = np.maximum(slow, 1e-5 * slow.max())
    assert np.max(np.abs(fast - slow) / scale) < TOLERANCE[study.precision]


def test_many_steps_and_coordinates_agree_with_reference():
    study = fs.Study(
        fs.Quadratic(1 / np.arange(1, 301), noise="hessian", start=fs.Normal()),
        fs.SGD(fs.Cosine(0.05, 1000), momentum=0.9),
        steps=1003,
        trajectories=20,
        record=20,
        seed=2**63 + 5,
    )
    np.testing.assert_allclose(fast_losses(study), slow_losses(study), rtol=2e-4)


def test_single_and_double_draw_the_same_numbers():
    single = fs.Study(
        fs.Quadratic(1 / np.arange(1, 11)), fs.SGD(0.1, momentum=0.5), steps=60, trajectories=50
    )
    double = single.replace(precision="double")
    np.testing.assert_allclose(fast_losses(single), fast_losses(double), rtol=1e-3)


def test_first_trajectories_of_a_larger_run_are_the_same(small_study):
    large = fast_losses(small_study.replace(trajectories=1000))
    np.testing.assert_array_equal(large[:, :100], fast_losses(small_study))


@pytest.mark.parametrize("trajectories", [1, 15, 16, 17, 777, 4096])
def test_same_bits_for_any_threads_and_block_size(trajectories, threads, monkeypatch):
    study = fs.Study(
        fs.Quadratic(1 / np.arange(1, 21), start=fs.Normal()),
        fs.SGD(0.1, momentum=0.9),
        steps=101,
        trajectories=trajectories,
    )
    results = []
    for number in sorted({1, threads}):
        for observed_bytes in (2**24, 2**19, 1):
            monkeypatch.setattr("fastsched.plan._OBSERVED_BYTES", observed_bytes)
            numba.set_num_threads(number)
            results.append(fs.run(study, progress=False))
    monkeypatch.setattr("fastsched.plan._LARGEST_CALL", 2000)
    monkeypatch.setattr("fastsched.plan._SMALLEST_BLOCK", 1)
    feed = make_plan(study, 1).feed(0)
    assert feed.groups_per_call < feed.arguments.groups
    results.append(fs.run(study, progress=False))
    assert all(same_data(results[0], other) for other in results[1:])
    assert not same_data(results[0], fs.run(study.replace(seed=1), progress=False))


def test_kernel_is_cached_on_disk(small_study, tmp_path):
    """A second process loads the kernel and compiles nothing."""
    script = (
        "import fastsched as fs\n"
        f"study = fs.Study.from_toml({small_study.to_toml()!r})\n"
        "fs.run(study, progress=False)\n"
        "from fastsched.plan import make_plan\n"
        "stats = make_plan(study, 1).feed(0).kernel.run_tiles.stats\n"
        "print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))\n"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    outputs = [
        subprocess.run(
            [sys.executable, "-c", script],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for _ in range(2)
    ]
    assert outputs == [["0", "1"], ["1", "0"]]


def test_a_kernel_written_by_two_processes(tmp_path, monkeypatch):
    """Windows refuses to replace a file that another process reads."""
    monkeypatch.setattr(cache, "cache_folder", lambda: tmp_path)
    replace = os.replace

    def refuse(source, target):
        replace(source, target)  # by the other process
        raise PermissionError("in use")

    monkeypatch.setattr(files.os, "replace", refuse)
    assert cache.load_kernel("written_twice = True\n").written_twice

    def fail(source, target):
        raise PermissionError("read-only")

    monkeypatch.setattr(files.os, "replace", fail)
    with pytest.raises(PermissionError, match="read-only"):
        cache.load_kernel("written_never = True\n")


def test_lanes_beyond_the_last_trajectory_are_not_counted():
    study = fs.Study(fs.Quadratic([1.0]), fs.SGD(0.1), steps=8, trajectories=LANES + 3)
    losses = fast_losses(study)
    data = fs.run(study, progress=False).data
    np.testing.assert_allclose(data["loss"], losses.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(data["loss_std"], losses.std(axis=1, ddof=1), rtol=1e-9)


def test_noise_is_used_once():
    """The noise of steps and coordinates of one trajectory never repeats."""
    steps = [reference.Draws(50, t, np.arange(3, dtype=np.uint64), "double") for t in range(40)]
    values = np.stack([draws.normals(5) for draws in steps]).ravel()
    assert np.unique(values).size == values.size
