"""The kernels for GPUs in Numba's simulator: no second copy of anything, the same numbers."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from .examples import LANDSCAPES, OPTIMIZERS, study


def simulate(*names):
    """Return what the script prints about some landscapes or topics."""
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1", "OPENBLAS_NUM_THREADS": "1"}
    script = os.path.join(os.path.dirname(__file__), "simulate.py")
    done = subprocess.run(
        [sys.executable, script, *names],
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


@pytest.mark.slow
def test_statistics_like_those_of_the_processor():
    assert simulate("cpu quadratic") == ["quadratic double agree", "quadratic single agree"]


def test_division_into_blocks_launches_and_gpus():
    assert simulate("divisions", "messages") == ["divisions agree", "messages agree"]


@pytest.mark.slow
def test_trajectories_that_stop_early():
    assert simulate("early") == ["first passages agree"]


@pytest.mark.slow
def test_sweeps():
    assert simulate("sweeps") == ["sweeps agree"]


@pytest.mark.slow
def test_teams():
    assert len(simulate("teams")) == 4


@pytest.mark.slow
@pytest.mark.parametrize("landscape", LANDSCAPES)
def test_every_optimizer_and_measure(landscape):
    fitting = [name for name in OPTIMIZERS if study(landscape, name) is not None]
    assert simulate(landscape) == [f"{landscape} {name} agree" for name in fitting]


@pytest.mark.slow
@pytest.mark.parametrize("landscape", ["wells", "relu features", "logistic data", "custom"])
def test_every_measure_like_the_processor(landscape):
    assert simulate(f"cpu {landscape}") == [f"{landscape} double agree"]
