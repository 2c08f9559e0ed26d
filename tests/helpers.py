"""What several files of tests share: trajectories one by one, comparisons, a parser of pages."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from html.parser import HTMLParser
from typing import Any

import numpy as np

import fastsched as fs
from fastsched.kernels import reference
from fastsched.plan import make_plan


def fast_losses(study):
    """Return the recorded losses of every trajectory, shape (records, trajectories)."""
    plan = make_plan(study, threads=1)
    runner = plan.runner()
    parts = []
    for block in plan.blocks():
        observed, _ = runner.run(
            0, block.first_tile, block.count, lambda: True, lambda updates: None
        )
        parts.append(observed.values[: len(study.record_steps), : block.count].copy())
    return np.concatenate(parts, axis=1)


def slow_losses(study, trajectories=None):
    """As `fast_losses`, by the reference."""
    return reference.simulate(
        study.landscape,
        study.optimizer,
        study.batch_sizes(),
        study.record_steps,
        np.arange(study.trajectories) if trajectories is None else trajectories,
        study.seed,
        study.precision,
    )


def draws(n=1, step=0):
    """Return the reference's random numbers of the first n trajectories at a step."""
    return reference.Draws(0, step, np.arange(n, dtype=np.uint64), "double")


def interrupt():
    """Send Ctrl-C to this process."""
    if sys.platform == "win32":  # os.kill would end the process
        signal.raise_signal(signal.SIGINT)
    else:
        os.kill(os.getpid(), signal.SIGINT)


def same_data(a, b):
    """Return whether two results hold the same bits."""
    return a.data.drop_attrs().identical(b.data.drop_attrs())


def close(actual: Any, expected: Any, atol: float = 1e-12) -> None:
    """Assert that numbers agree to an absolute tolerance."""
    np.testing.assert_allclose(actual, expected, rtol=0, atol=atol)


def stepped(scheduler: Any, steps: int) -> list[float]:
    """Return the rates of so many updates under a scheduler of PyTorch."""
    values = [float(scheduler.optimizer.param_groups[0]["lr"])]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(steps - 1):
            scheduler.step()
            values.append(float(scheduler.optimizer.param_groups[0]["lr"]))
    return values


def bowl(dim: int) -> fs.Custom:
    """Return a landscape of which nothing is known but its functions."""
    return fs.Custom(_bowl_gradient, _bowl_loss, dim)


def _bowl_gradient(theta, draws, out):
    out[:] = theta


def _bowl_loss(theta):
    return np.sum(theta**2) / 2


class Page(HTMLParser):
    """The tags, attributes, table rows and text of a page; an unbalanced tag is an error."""

    VOID = ("meta", "img")

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.rows, self.words = [], [], [], {}
        self._open = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        if tag not in self.VOID:
            self._open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        where = self._open[-1] if self._open else ""
        self.words.setdefault(where, []).append(data)
        if {"th", "td"} & set(self._open):
            self.rows[-1][-1] += data

    def named(self, name):
        return [value for key, value in self.attributes if key == name]
