"""Which machine a study runs on, and what is said where it cannot."""

from __future__ import annotations

import pytest

import fastsched as fs
from fastsched import devices
from fastsched.devices import chosen_gpus

STUDY = fs.Study(fs.Quadratic([1.0]), fs.SGD(0.1), steps=4, trajectories=4)


@pytest.mark.parametrize("device", ["gpu", "CUDA", 0, None])
def test_unknown_devices_are_refused(device):
    with pytest.raises(fs.FastschedError, match="device must be one of 'auto', 'cpu', 'cuda'"):
        fs.run(STUDY, device, progress=False)


@pytest.mark.parametrize("reason", ["numba-cuda is not installed", "the driver finds no GPU"])
def test_no_gpu(monkeypatch, reason):
    monkeypatch.setattr(devices, "_found_gpus", lambda: reason)
    for options in ({"device": "cuda"}, {"devices": [0]}):
        with pytest.raises(fs.FastschedError, match=f"needs an NVIDIA GPU.*numba-cuda.*{reason}"):
            fs.run(STUDY, progress=False, **options)
    assert chosen_gpus("auto", None) == ()
    assert fs.run(STUDY, "auto", progress=False).complete


def test_gpus_by_number(monkeypatch):
    monkeypatch.setattr(devices, "_found_gpus", lambda: 2)
    assert chosen_gpus("cuda", None) == (0,)
    assert chosen_gpus("auto", [1, 0]) == (1, 0)
    assert chosen_gpus("cpu", None) == ()
    for bad in ([2], [-1], [0, 0], [], "01", 0, [0.5]):
        with pytest.raises(fs.FastschedError, match="devices"):
            chosen_gpus("cuda", bad)
    with pytest.raises(fs.FastschedError, match="left out"):
        chosen_gpus("cpu", [0])
