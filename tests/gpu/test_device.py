"""Runs on a GPU, where there is one: the numbers of the processor, and exact theory."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import same_data

import fastsched as fs
from fastsched.devices import chosen_gpus
from fastsched.gpu_plan import team_size

from .examples import all_pairs, study


def no_gpu():
    try:
        return not chosen_gpus("cuda", None)
    except fs.FastschedError:
        return True


pytestmark = pytest.mark.skipif(no_gpu(), reason="needs a GPU and numba-cuda")


def quadratic(**changes):
    options = {"steps": 50, "trajectories": 1, "record": np.arange(51), "measures": fs.Loss(())}
    landscape = fs.Quadratic(1 / np.arange(1, 1001), noise="hessian", start=fs.Normal())
    return fs.Study(landscape, fs.SGD(fs.Cosine(0.3, 60), momentum=0.5), **(options | changes))


@pytest.mark.parametrize("seed", range(4))
def test_trajectories_are_those_of_the_processor(seed):
    """One trajectory, so that the mean is its loss."""
    ours = fs.run(quadratic(seed=seed), "cuda", progress=False)["loss"]
    theirs = fs.run(quadratic(seed=seed), "cpu", progress=False)["loss"]
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


@pytest.mark.parametrize("trajectories", [64, 4096, 200_000])
def test_statistics_are_those_of_the_processor(trajectories):
    """By blocks, warps and threads."""
    case = quadratic(trajectories=trajectories, record=10)
    ours = fs.run(case, "cuda", progress=False)
    theirs = fs.run(case, "cpu", progress=False)
    apart = np.abs(ours["loss"] - theirs["loss"])
    assert np.all(apart <= 1e-3 * theirs["loss_se"] + 1e-12)
    assert same_data(ours, fs.run(case, "cuda", progress=False))
    exact = fs.exact(case)["loss"].values
    assert np.all(np.abs(ours["loss"] - exact) <= 4 * ours["loss_se"] + 1e-9)


def test_teams_by_number_of_trajectories():
    assert [team_size(quadratic(trajectories=n)) for n in (64, 4096, 200_000)] == [256, 32, 1]


@pytest.mark.parametrize(("landscape", "optimizer"), all_pairs())
def test_every_landscape_optimizer_and_measure(landscape, optimizer):
    case = study(landscape, optimizer, precision="double")
    ours = fs.run(case, "cuda", progress=False).data
    theirs = fs.run(case, "cpu", progress=False).data
    for name in theirs:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-7, atol=1e-9, err_msg=name)


def test_several_gpus_give_the_same_bits():
    case = quadratic(trajectories=300_000, record=10)
    try:
        gpus = chosen_gpus("cuda", [0, 1])
    except fs.FastschedError:
        pytest.skip("needs two GPUs")
    one = fs.run(case, "cuda", progress=False)
    assert same_data(one, fs.run(case, "cuda", devices=gpus, progress=False))
