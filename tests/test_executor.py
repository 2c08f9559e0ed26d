"""Blocks run by executors: the same bits, lost workers, stores, interruption."""

from __future__ import annotations

import functools
import itertools
import multiprocessing
import os
import signal
import threading
import time
from concurrent.futures import (
    BrokenExecutor,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)

import numpy as np
import pytest
from helpers import interrupt, same_data

import fastsched as fs


def study(**changes):
    options = {"steps": 2000, "trajectories": 6000, "seed": 3, "record": 10}
    landscape = fs.Quadratic(1 / np.arange(1, 101), noise="hessian", start=fs.Normal())
    return fs.Study(landscape, fs.SGD(fs.Cosine(0.5, 2000)), **(options | changes))


@functools.cache
def local():
    return fs.run(study(), progress=False)


def run(executor, **options):
    return fs.run(study(), executor=executor, progress=False, **options)


def same(result):
    return result.complete and same_data(result, local())


def pool(workers=2):
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"))


class Unreliable(Executor):
    """Runs tasks at once, and loses some of them."""

    def __init__(self, losses):
        self.losses = iter(losses)
        self.submitted = 0

    def submit(self, function, *arguments):
        self.submitted += 1
        future = Future()
        if next(self.losses, False):
            future.set_exception(ConnectionError("the worker is gone"))
        else:
            future.set_result(function(*arguments))
        return future


def test_threads_and_processes_give_the_same_bits():
    with ThreadPoolExecutor(2) as threads:
        assert same(run(threads))
    with pool() as processes:
        assert same(run(processes))


def test_lost_blocks_are_tried_again():
    executor = Unreliable([True, False, True, True, False])
    assert same(run(executor))
    calm = Unreliable([])
    assert same(run(calm))
    assert executor.submitted == calm.submitted + 3


def test_blocks_lost_three_times_end_the_run():
    executor = Unreliable([False, False, True, True, True])
    with pytest.raises(fs.RunFailed, match="the worker is gone") as caught:
        run(executor)
    assert caught.value.result.trajectories == 4096


def test_a_dead_pool_ends_the_run():
    def kill(processes):
        time.sleep(6)
        for process in list(processes._processes.values()):
            process.kill()

    long = study(trajectories=10**6)
    with pool() as processes:
        threading.Thread(target=kill, args=(processes,)).start()
        with pytest.raises((fs.RunFailed, BrokenExecutor)):
            fs.run(long, executor=processes, progress=False)


def test_store(tmp_path):
    with ThreadPoolExecutor(2) as threads:
        assert same(run(threads, store=tmp_path / "store"))
    executor = Unreliable([])
    assert same(run(executor, store=tmp_path / "store"))
    assert executor.submitted == 0
    # A store is one of the study, whoever runs it.
    assert same(fs.run(study(), store=tmp_path / "store", progress=False))


class Interrupting(ThreadPoolExecutor):
    """Sends Ctrl-C once the third task is done."""

    def submit(self, function, *arguments):
        number = next(self.numbers)

        def task():
            result = function(*arguments)
            if number == 3:
                interrupt()
            return result

        return super().submit(task)


def test_interruption():
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with Interrupting(1) as threads:
            threads.numbers = itertools.count(1)
            result = fs.run(study(trajectories=10**6), executor=threads, progress=False)
    finally:
        signal.signal(signal.SIGINT, previous)
    assert not result.complete
    assert 0 < result.trajectories < 10**6


@pytest.mark.parametrize("executor", [2, "threads", object()])
def test_bad_executors(executor):
    with pytest.raises(fs.FastschedError, match="executor"):
        run(executor)


def test_no_gpus_elsewhere():
    with pytest.raises(fs.FastschedError, match="on processors"):
        run(Unreliable([]), device="cuda")


@pytest.mark.slow
def test_dask_with_a_worker_killed():
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        assert same(run(client))

        def kill():
            time.sleep(1.0)
            pids = list(client.run(os.getpid).values())
            # Windows has no SIGKILL, and there SIGTERM kills.
            os.kill(pids[0], getattr(signal, "SIGKILL", signal.SIGTERM))

        threading.Thread(target=kill).start()
        big = study(trajectories=40_000)
        result = fs.run(big, executor=client, progress=False)
    whole = fs.run(big, progress=False)
    assert result.complete
    assert same_data(result, whole)
