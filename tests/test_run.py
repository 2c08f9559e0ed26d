"""Running: merged statistics, interruption, failure, divergence, memory."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from helpers import fast_losses, interrupt, same_data

import fastsched as fs
from fastsched import memory
from fastsched import plan as plan_module
from fastsched.kernels.cpu import TileRunner


def test_result_against_the_trajectories(small_study):
    losses = fast_losses(small_study)
    data = fs.run(small_study, progress=False).data
    n = small_study.trajectories
    np.testing.assert_allclose(data["loss"], losses.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(
        data["loss_se"], losses.std(axis=1, ddof=1) / np.sqrt(n), rtol=1e-9, atol=1e-12
    )
    ordered = np.sort(losses, axis=1)
    median = data["loss_quantile"].sel(quantile=0.5)
    assert np.all(median >= 0.99 * ordered[:, n // 2 - 2])
    assert np.all(median <= 1.01 * ordered[:, n // 2 + 1])
    assert data["step"].values.tolist() == list(range(51))
    assert (data["diverged"] == 0).all()


def test_deterministic_start_is_exact(small_study):
    first = fs.run(small_study, progress=False).data.isel(step=0)
    assert float(first["loss"]) == pytest.approx(0.8, rel=1e-6)
    assert float(first["loss_std"]) == float(first["loss_se"]) == 0.0
    assert np.all(first["loss_quantile"] == first["loss"])


def test_quantiles_can_be_left_out(small_study):
    data = fs.run(small_study.replace(measures=fs.Loss(())), progress=False).data
    assert "loss_quantile" not in data
    assert "quantile" not in data.coords


def test_one_trajectory_has_no_standard_error(small_study):
    data = fs.run(small_study.replace(trajectories=1), progress=False).data
    assert np.all(np.isfinite(data["loss"]))
    assert np.all(np.isnan(data["loss_se"]))


def test_divergence_is_counted():
    study = fs.Study(
        fs.Quadratic([1.0], noise=0.0, start=fs.Normal(0.0, 1.0)),
        fs.SGD(3.0),
        steps=400,
        trajectories=1000,
        record=[0, 40, 50, 60, 400],
    )
    result = fs.run(study, progress=False)
    data = result.data
    assert float(data["diverged"][0]) == 0
    assert float(data["diverged"][-1]) == 1
    # |x| 2^50 passes sqrt(2e30) where |x_0| > 1.256.
    from scipy import stats

    exact = 2 * stats.norm.sf(np.sqrt(2e30) / 2.0**50)
    z = (float(data["diverged"][2]) - exact) / float(data["diverged_se"][2])
    assert abs(z) <= 4
    assert np.isnan(data["loss"][-1])
    assert np.all(data["loss_quantile"][:, -1] == np.inf)
    assert np.isinf(float(data["loss_quantile"].sel(quantile=0.95)[2]))
    assert "diverged: up to 100 %" in result.summary()


def test_runs_in_another_thread(small_study):
    results = []
    thread = threading.Thread(target=lambda: results.append(fs.run(small_study, progress=False)))
    thread.start()
    thread.join()
    assert results[0].complete
    assert same_data(results[0], fs.run(small_study, progress=False))


def slow_study():
    return fs.Study(
        fs.Quadratic(1 / np.arange(1, 201)), fs.SGD(0.1), steps=4000, trajectories=100_000
    )


@pytest.fixture
def heeds_interrupts():
    """A shell starts its background jobs with interrupts ignored."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


def interrupt_after(seconds, times=1):
    def send():
        for _ in range(times):
            time.sleep(seconds)
            interrupt()

    threading.Thread(target=send).start()


def test_ctrl_c_keeps_finished_blocks(heeds_interrupts):
    study = slow_study()
    fs.run(study.replace(trajectories=16), progress=False)
    interrupt_after(1.5)
    result = fs.run(study, progress=False)
    assert not result.complete
    assert 0 < result.trajectories < study.trajectories / 2
    assert "interrupted" in result.summary()
    whole = fs.run(study.replace(trajectories=result.trajectories), progress=False)
    np.testing.assert_array_equal(result.data["loss"], whole.data["loss"])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_before_anything_is_finished(heeds_interrupts, monkeypatch):
    monkeypatch.setattr(plan_module, "_LARGEST_CALL", 2**22)
    study = slow_study().replace(landscape=fs.Quadratic(np.ones(2000)), steps=1_000_000)
    fs.run(study.replace(trajectories=16, steps=4), progress=False)
    interrupt_after(0.7)
    with pytest.raises(KeyboardInterrupt):
        fs.run(study, progress=False)


def test_failure_keeps_finished_blocks(monkeypatch):
    study = slow_study().replace(trajectories=20_000, steps=100)
    monkeypatch.setattr(plan_module, "_BLOCKS_PER_THREAD", 100)
    monkeypatch.setattr(plan_module, "_SMALLEST_BLOCK", 2**16)
    run_tiles = TileRunner.run

    def fail_late(self, member, first_tile, *arguments):
        if first_tile >= 600:
            raise MemoryError("no more")
        return run_tiles(self, member, first_tile, *arguments)

    monkeypatch.setattr(TileRunner, "run", fail_late)
    with pytest.raises(fs.RunFailed, match="no more") as caught:
        fs.run(study, progress=False)
    assert 0 < caught.value.result.trajectories <= 9600
    assert not caught.value.result.complete


def test_too_much_memory_is_refused(monkeypatch):
    study = fs.Study(fs.Quadratic([1.0]), fs.SGD(0.1), steps=10**5, trajectories=16, record=10**5)
    # Windows has no sysconf.
    monkeypatch.setattr(memory.os, "sysconf", lambda name: 4000, raising=False)
    with pytest.raises(fs.FastschedError, match="GiB: lower record or the number of threads"):
        fs.run(study, progress=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"study": "study"}, "study = 'study': study must be a Study"),
        ({"device": "gpu"}, "device = 'gpu': device must be one of 'auto', 'cpu'"),
    ],
)
def test_bad_input(small_study, arguments, message):
    with pytest.raises(fs.FastschedError, match=message):
        fs.run(**{"study": small_study, "progress": False, **arguments})


def test_progress_bar_only_on_a_terminal(small_study, capfd):
    fs.run(small_study)
    assert capfd.readouterr().err == ""


def test_numbers_beyond_single_precision_are_refused():
    for landscape in (fs.Quadratic([1e-50]), fs.Quadratic([1e39]), fs.Quadratic([1.0], start=1e39)):
        study = fs.Study(landscape, fs.SGD(1e-45), 4, 16)
        with pytest.raises(fs.FastschedError, match='precision must be "double" for the value'):
            fs.run(study, progress=False)
        assert fs.run(study.replace(precision="double"), progress=False).complete


def test_first_runs_at_the_same_time():
    study = fs.Study(fs.Quadratic([1.0, 0.5]), fs.SGD(0.123), 4, 16)
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(fs.run(study, progress=False)))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 6
    assert all(same_data(results[0], other) for other in results[1:])


def test_blocks_cover_all_trajectories():
    for trajectories in (1, 16, 17, 1000, 12_345):
        study = fs.Study(fs.Quadratic(np.ones(100)), fs.SGD(0.1), 1000, trajectories)
        for threads in (1, 2, 64):
            plan = plan_module.make_plan(study, threads)
            blocks = list(plan.blocks())
            assert sum(block.count for block in blocks) == trajectories
            assert sum(block.tiles for block in blocks) == plan.tiles
            assert plan.tiles_per_block & (plan.tiles_per_block - 1) == 0
            assert all(b.first_tile % plan.tiles_per_block == 0 for b in blocks)


def test_import_is_light():
    """SciPy's statistics, file formats, plots and peers load when first used."""
    script = (
        "import sys, fastsched; "
        "heavy = ['scipy.stats', 'matplotlib', 'xarray', 'pandas', 'h5py', 'torch', 'jax', 'tqdm'];"
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
