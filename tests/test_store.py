"""Stores: killed and resumed runs, top-ups, damage, full disks, two writers, other studies."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from helpers import same_data

import fastsched as fs
from fastsched import store as store_module
from fastsched.kernels.cpu import TileRunner

BLOCK = 128


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setattr("fastsched.plan._STEADY_WORK", 2**17)


def study(**changes):
    options = {"steps": 64, "trajectories": 1000, "seed": 3, "record": 10}
    landscape = fs.Quadratic(1 / np.arange(1, 17), noise="hessian", start=fs.Normal())
    measures = (fs.Loss(), fs.HittingTime(1.0), fs.Overshoot(), fs.Alignment())
    optimizer = fs.SGD(fs.Cosine(0.5, 64), momentum=0.5)
    return fs.Study(landscape, optimizer, measures=measures, **(options | changes))


def run(folder, **changes):
    return fs.run(study(**changes), store=folder, progress=False)


def same(a, b):
    return a.study == b.study and same_data(a, b)


def blocks(folder):
    return sorted(folder.glob("*.block"))


@pytest.fixture
def runs(monkeypatch):
    """The first tiles of the blocks that are run, not loaded."""
    started = []
    run_tiles = TileRunner.run

    def note(self, member, first_tile, *arguments):
        started.append(first_tile)
        return run_tiles(self, member, first_tile, *arguments)

    monkeypatch.setattr(TileRunner, "run", note)
    return started


def test_the_second_run_reads_what_the_first_wrote(tmp_path, runs):
    folder = tmp_path / "store"
    first = run(folder)
    assert same(first, fs.run(study(), progress=False))
    assert len(blocks(folder)) == 8
    assert fs.Study.from_toml((folder / "study.toml").read_text(encoding="utf-8")) == study()
    runs.clear()
    assert same(run(folder), first)
    assert runs == []


def test_top_up_and_back(tmp_path, runs):
    folder = tmp_path / "store"
    run(folder)
    runs.clear()
    more = run(folder, trajectories=1500)
    assert same(more, fs.run(study(trajectories=1500), progress=False))
    # Seven blocks were whole.
    assert min(runs[:5]) == 7 * BLOCK // 16
    runs.clear()
    less = run(folder, trajectories=300)
    assert same(less, fs.run(study(trajectories=300), progress=False))
    assert runs[0] == 2 * BLOCK // 16
    # The third block was whole and stays so.
    runs.clear()
    assert same(run(folder, trajectories=1500), more)
    assert runs == []


def test_failures_keep_what_is_finished(tmp_path, monkeypatch):
    folder = tmp_path / "store"
    run_tiles = TileRunner.run

    def fail(self, member, first_tile, *arguments):
        if first_tile >= 4 * BLOCK // 16:
            raise MemoryError("no more")
        return run_tiles(self, member, first_tile, *arguments)

    monkeypatch.setattr(TileRunner, "run", fail)
    with pytest.raises(fs.RunFailed, match="no more"):
        run(folder)
    monkeypatch.undo()
    monkeypatch.setattr("fastsched.plan._STEADY_WORK", 2**17)
    assert len(blocks(folder)) == 4
    assert same(run(folder), fs.run(study(), progress=False))


DAMAGES = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:200]),
    "empty": lambda path: path.write_bytes(b""),
    "flipped": lambda path: path.write_bytes(
        path.read_bytes()[:500] + bytes([path.read_bytes()[500] ^ 255]) + path.read_bytes()[501:]
    ),
    "other file": lambda path: path.write_text("a block?"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_blocks_are_run_again(tmp_path, runs, damage):
    folder = tmp_path / "store"
    first = run(folder)
    path = blocks(folder)[2]
    DAMAGES[damage](path)
    runs.clear()
    with pytest.warns(RuntimeWarning, match=f"{path.name} is damaged: .* run again"):
        assert same(run(folder), first)
    assert runs == [2 * BLOCK // 16]
    assert same(run(folder), first)


def test_every_flipped_bit_is_found(tmp_path):
    folder = tmp_path / "store"
    first = run(folder, trajectories=BLOCK)
    path = blocks(folder)[0]
    whole = path.read_bytes()
    for position in np.random.default_rng(0).integers(0, len(whole), 60):
        flipped = bytearray(whole)
        flipped[position] ^= 1 << int(position) % 8
        path.write_bytes(bytes(flipped))
        with pytest.warns(RuntimeWarning, match="damaged"):
            assert same(run(folder, trajectories=BLOCK), first)


def test_full_disk(tmp_path, monkeypatch):
    folder = tmp_path / "store"
    run(folder, trajectories=3 * BLOCK)

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    # The study itself is written first.
    sync = os.fsync
    calls = iter([sync, sync])
    monkeypatch.setattr(store_module.os, "fsync", lambda file: next(calls, full)(file))
    with pytest.raises(fs.RunFailed, match=r"No space left on device.*intact") as caught:
        run(folder)
    assert caught.value.result.trajectories == 3 * BLOCK
    assert len(blocks(folder)) == 3
    assert not list(folder.glob("*.tmp"))
    monkeypatch.setattr(store_module.os, "fsync", sync)
    assert same(run(folder), fs.run(study(), progress=False))


def test_another_study_is_refused(tmp_path):
    folder = tmp_path / "store"
    run(folder)
    with pytest.raises(fs.FastschedError, match="another study, which differs in seed, record"):
        run(folder, seed=4, record=11)
    with pytest.raises(fs.FastschedError, match="differs in optimizer"):
        fs.run(study().replace(optimizer=fs.SGD(0.1)), store=folder, progress=False)


def test_another_division_is_refused(tmp_path, monkeypatch):
    folder = tmp_path / "store"
    run(folder)
    monkeypatch.setattr("fastsched.plan._STEADY_WORK", 2**18)
    with pytest.raises(fs.FastschedError, match=r"blocks are of 128 .* of 256 .*another folder"):
        run(folder)


def test_a_store_of_another_version_is_refused(tmp_path):
    folder = tmp_path / "store"
    run(folder)
    about = json.loads((folder / store_module._ABOUT).read_text())
    (folder / store_module._ABOUT).write_text(json.dumps(about | {"format": 2}))
    with pytest.raises(fs.FastschedError, match="another version of fastsched made it"):
        run(folder)


def test_killed_while_the_store_is_made(tmp_path):
    folder = tmp_path / "store"
    folder.mkdir()
    names = (store_module._STUDY, store_module._ABOUT)
    for path in [folder / f".{name}.0123abcd.tmp" for name in names]:
        path.write_text("half of")
    assert run(folder).complete
    assert not list(folder.glob("*.tmp"))


def test_folders_that_are_no_stores(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(fs.FastschedError, match="must be the name of a folder"):
        run(file)
    with pytest.raises(fs.FastschedError, match="or an empty folder"):
        run(tmp_path)
    with pytest.raises(fs.FastschedError, match="does not exist"):
        run(tmp_path / "no" / "store")
    assert file.read_text() == ""
    function = study(batch_size=fs.Function(lambda t: 1 + 0 * t))
    with pytest.raises(fs.FastschedError, match=r"Function.*cannot be written"):
        fs.run(function, store=tmp_path / "new", progress=False)


SCRIPT = """
import sys, time
sys.path.insert(0, {tests!r})
import fastsched as fs
from fastsched import plan
from test_store import study
plan._STEADY_WORK = 2**17
print("ready", flush=True)
fs.run(study(trajectories={trajectories}), store={folder!r}, progress=False)
"""


def start(folder, trajectories):
    script = SCRIPT.format(
        tests=os.path.dirname(__file__), folder=str(folder), trajectories=trajectories
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    process.stdout.readline()
    return process


def test_two_writers(tmp_path):
    folder = tmp_path / "store"
    process = start(folder, 10**7)
    while not (folder / "store.json").exists():
        time.sleep(0.01)
    with pytest.raises(fs.FastschedError, match="another run is writing to it"):
        run(folder)
    process.kill()
    process.communicate()
    # The lock of a dead process is none.
    assert run(folder).complete


@pytest.mark.slow
def test_killed_at_random_moments(tmp_path):
    folder = tmp_path / "store"
    trajectories = 400_000
    # Compiled and kept on disk: a process is killed before it could do that.
    run(tmp_path / "compiled", trajectories=16)
    rng = np.random.default_rng(1)
    for _ in range(20):
        process = start(folder, trajectories)
        time.sleep(rng.uniform(0.2, 1.4))
        process.kill()
        process.communicate()
    assert 0 < len(blocks(folder)) <= -(-trajectories // BLOCK)
    resumed = run(folder, trajectories=trajectories)
    assert same(resumed, fs.run(study(trajectories=trajectories), progress=False))
