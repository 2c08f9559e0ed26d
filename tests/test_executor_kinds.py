"""What `executor=` accepts, and studies that cannot be sent to its workers."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest
from helpers import same_data

import fastsched as fs
from fastsched.executors import require_portable


def study(**changes):
    return fs.Study(fs.Quadratic([1.0, 0.5]), fs.SGD(0.1), 20, 100, record=5, **changes)


def run(executor, asked=None):
    return fs.run(study() if asked is None else asked, executor=executor, progress=False)


def spawned():
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))


def constant_rate(t):
    return 0.1 + 0 * t


def gradient(theta, draws, out):
    for i in range(theta.size):
        out[i] = theta[i]


def loss(theta):
    return 0.5 * np.sum(theta * theta)


class Other(Executor):
    """Returns something else than a future."""

    def submit(self, function, *arguments):
        return 5


class Unreachable:
    """Has the methods of a client that has been closed."""

    def get_executor(self, **options):
        return ThreadPoolExecutor(1)

    def ncores(self):
        raise OSError("closed")


class Cluster:
    """Has a client that only its methods tell, as those of subclasses."""

    def __init__(self, pool):
        self.pool = pool

    def get_client(self):
        return Client(self.pool)


class Client:
    def __init__(self, pool):
        self.pool = pool

    def get_executor(self, **options):
        assert options == {"pure": False, "retries": 3}
        return self.pool

    def ncores(self):
        return {"a": 1, "b": 2}

    def submit(self, *arguments):
        raise AssertionError("a client's own futures are not those of concurrent.futures")


@pytest.mark.parametrize("executor", [5, "threads", object(), ThreadPoolExecutor, Other()])
def test_refused(executor):
    with pytest.raises(fs.FastschedError, match=r"executor = .*must be a concurrent\.futures"):
        run(executor)


def test_an_unreachable_client():
    with pytest.raises(fs.FastschedError, match=r"does not say how many cores.*closed"):
        run(Unreachable())


@pytest.mark.parametrize("make", [lambda: ThreadPoolExecutor(1), spawned])
def test_an_executor_that_was_shut_down(make):
    executor = make()
    executor.shutdown()
    with pytest.raises(fs.FastschedError, match=r"executor = .*accepts no tasks.*after shutdown"):
        run(executor)


def test_clients_and_clusters_are_known_by_their_methods():
    expected = fs.run(study(), progress=False)
    with ThreadPoolExecutor(1) as pool:
        assert same_data(run(Client(pool)), expected)
        assert same_data(run(Cluster(pool)), expected)


def test_dask():
    distributed = pytest.importorskip("distributed")
    expected = fs.run(study(), progress=False)
    rate = fs.Function(lambda t: 0.1 + 0 * t)
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        for executor in (client, cluster, client.get_executor()):
            assert same_data(run(executor), expected)
        assert run(client, study().replace(optimizer=fs.SGD(rate))).complete
    with pytest.raises(fs.FastschedError, match="executor"):
        run(client)


RATE = fs.Function(lambda t: 0.1 + 0 * t)


def local_gradient():
    def local(theta, draws, out):
        out[0] = theta[0]

    return local


def custom(gradient=gradient, loss=loss, **changes):
    return study(**changes).replace(landscape=fs.Custom(gradient, loss, 1))


CASES = {
    r"optimizer\.lr\.f = <function": lambda: study().replace(optimizer=fs.SGD(RATE)),
    r"batch_size\.f = <function": lambda: study(batch_size=fs.Function(lambda t: 1 + 0 * t)),
    r"landscape\.loss = <function": lambda: custom(loss=lambda theta: 0.5 * np.sum(theta * theta)),
    r"landscape\.gradient = <function": lambda: custom(gradient=local_gradient()),
    r"measures\[0\]\.region = <function": lambda: custom(
        measures=fs.Escape(region=lambda theta: theta[0] > 2)
    ),
    r"study\.optimizer\.lr\.f = <function": lambda: fs.sweep(
        study().replace(optimizer=fs.SGD(RATE)), {"seed": [1, 2]}
    ),
    r"axes\['optimizer\.lr'\]\[1\]\[0\]\.f = <function": lambda: fs.sweep(
        study(), {"optimizer.lr": {"a": 0.1, "b": RATE}}
    ),
}


@pytest.mark.parametrize("message", CASES)
def test_lambdas_and_processes(message):
    with spawned() as pool, pytest.raises(fs.FastschedError, match="executor: " + message):
        run(pool, CASES[message]())


def test_lambdas_and_threads():
    with ThreadPoolExecutor(1) as pool:
        assert run(pool, study().replace(optimizer=fs.SGD(RATE))).complete


def test_functions_of_a_module_and_processes():
    with spawned() as pool:
        require_portable(study().replace(optimizer=fs.SGD(fs.Function(constant_rate))), pool)
        require_portable(study().replace(landscape=fs.Custom(gradient, loss, 1)), pool)


PROMPT = """
import multiprocessing
import fastsched as fs
from concurrent.futures import ProcessPoolExecutor

def rate(t):
    return 0.1 + 0 * t

study = fs.Study(fs.Quadratic([1.0]), fs.SGD(fs.Function(rate)), 5, 20)
for method in multiprocessing.get_all_start_methods():
    with ProcessPoolExecutor(1, multiprocessing.get_context(method)) as pool:
        try:
            print(method, fs.run(study, executor=pool, progress=False).complete)
        except fs.FastschedError as error:
            print(method, error)
"""


@pytest.mark.parametrize(("option", "text"), [(PROMPT, None), ("", PROMPT)], ids=["-c", "stdin"])
def test_functions_typed_at_a_prompt(option, text):
    command = [sys.executable, "-c", option] if option else [sys.executable, "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    for method in multiprocessing.get_all_start_methods():
        if method == "fork":
            assert lines[method] == "True"
        else:
            assert "optimizer.lr.f = <function rate" in lines[method]
            assert "defined at a prompt" in lines[method]
            assert "a module that can be imported" in lines[method]


class ClosedCluster:
    """As a LocalCluster after `close`."""

    def get_client(self):
        raise RuntimeError("Trying to connect to an already closed cluster")


def test_a_closed_cluster():
    with pytest.raises(fs.FastschedError, match=r"^executor = .*cannot be connected to: .*closed"):
        fs.run(study(), executor=ClosedCluster(), progress=False)
