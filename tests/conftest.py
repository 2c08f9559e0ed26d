"""Fixtures of the tests."""

from __future__ import annotations

import numba
import numpy as np
import pytest

import fastsched as fs


@pytest.fixture
def small_study() -> fs.Study:
    """A study of a few milliseconds."""
    return fs.Study(
        fs.Quadratic([1.0, 0.5, 0.1], noise=0.5),
        fs.SGD(lr=fs.Cosine(0.2, 50), momentum=0.5),
        steps=50,
        trajectories=100,
        record=np.arange(51),
    )


@pytest.fixture
def threads():
    """The number of threads of a run, which a test may set."""
    number = numba.get_num_threads()
    yield number
    numba.set_num_threads(number)
