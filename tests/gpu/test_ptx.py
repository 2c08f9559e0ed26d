"""The kernels for GPUs as PTX for compute capability 9.0, compiled where there is no device."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from types import SimpleNamespace

import numba
import numpy as np
import pytest
from numba import types

import fastsched as fs
from fastsched import feed
from fastsched.kernels.body import Space
from fastsched.kernels.cache import load_kernel

from .examples import LANDSCAPES, OPTIMIZERS, study

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("numba_cuda") is None, reason="needs numba-cuda"
)

CAPABILITY = (9, 0)


def array_type(dtype, ndim):
    return types.Array(numba.from_dtype(np.dtype(dtype)), ndim, "C")


def type_of(value):
    """Return the type of an argument once it is on a GPU."""
    if isinstance(value, np.ndarray):
        return array_type(value.dtype, value.ndim)
    if isinstance(value, tuple):
        parts = [type_of(part) for part in value]
        named = hasattr(value, "_fields")
        return types.NamedTuple(parts, type(value)) if named else types.Tuple(parts)
    return numba.typeof(value)


def space_type(space, team):
    if not isinstance(space, Space):
        return types.Tuple([space_type(part, team) for part in space])
    return array_type(space.dtype, 1 if space.fixed else len(space.shape) + 1 + (team > 1))


def compiled(case, team=1):
    """Return the PTX of a study's kernel."""
    from numba import cuda

    from fastsched.kernels import cuda as cuda_kernels

    a = feed.make_arguments(case)
    source = feed.kernel_source(case, cuda_kernels.machine(a, team))
    kernel = load_kernel(source, cuda_kernels.functions(a)).run_lanes
    own = types.Tuple([type_of(cuda_kernels._arrays(part)) for part in a.own])
    data = type_of(cuda_kernels._arrays(a.data))
    arrays = types.Tuple(
        [
            space_type(a.state, team),
            space_type(a.scratch, team),
            *map(type_of, (a.constants, a.start_moments, a.table, a.keys)),
            data,
            own,
            type_of(a.ledger),
            array_type(np.float64, 3),
            array_type(np.float64, 2),
        ]
    )
    signature = types.void(*[types.int64] * 4, arrays)
    options = {"cc": CAPABILITY, "fastmath": True, "device": False, "abi": "numba"}
    ptx, _ = cuda.compile(kernel.py_func, signature, **options)
    return ptx


@pytest.fixture(autouse=True)
def _no_device(monkeypatch):
    """Device functions are compiled for the current device: here for none."""
    from numba.cuda import dispatcher

    device = SimpleNamespace(compute_capability=CAPABILITY)
    monkeypatch.setattr(dispatcher, "get_current_device", lambda: device)


def spills(ptx, folder):
    """Return registers and spilled bytes by ptxas, or None where there is none."""
    if shutil.which("ptxas") is None:
        return None
    path = folder / "kernel.ptx"
    # PTX of a newer version than that of ptxas is read as its own.
    version = subprocess.run(["ptxas", "--version"], capture_output=True, text=True).stdout
    release = re.search(r"release (\d+)\.(\d+)", version)
    assert release
    own = {"12": "8", "13": "9"}.get(release[1])
    ptx = re.sub(r"\.version \d+\.\d+", f".version {own}.{release[2]}", ptx) if own else ptx
    path.write_text(ptx)
    done = subprocess.run(
        ["ptxas", "-v", "-arch=sm_90", str(path), "-o", str(folder / "kernel.cubin")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    registers = re.search(r"Used (\d+) registers", done.stderr)
    stored = re.search(r"(\d+) bytes spill stores", done.stderr)
    assert registers
    assert stored
    return int(registers[1]), int(stored[1])


def check(ptx, folder):
    """Check what makes a kernel fast, and what makes it wrong."""
    # Philox: 32-bit factors and a 64-bit product, twenty to a block.
    assert ptx.count("mul.wide.u32") >= 20
    # Three digits are not enough.
    assert "tanh.approx" not in ptx
    found = spills(ptx, folder)
    if found is not None:
        registers, spilled = found
        assert registers <= 255
        assert spilled == 0


def quadratic(optimizer, precision="single"):
    landscape = fs.Quadratic(1 / np.arange(1, 1001), noise="hessian", start=fs.Normal())
    return fs.Study(landscape, optimizer, 1000, 1000, record=100, precision=precision)


@pytest.mark.parametrize("team", [1, 32, 256])
def test_quadratic(team, tmp_path):
    ptx = compiled(quadratic(OPTIMIZERS["sgd"]), team)
    check(ptx, tmp_path)
    assert ("shfl.sync" in ptx) == (team > 1)
    found = spills(ptx, tmp_path)
    # So many threads at once keep a multiprocessor busy.
    assert found is None or found[0] <= 64


def test_statistics(tmp_path):
    from numba import cuda

    from fastsched.kernels import cuda_rows
    from fastsched.measures.overshoot import depth

    rows, nodes = array_type(np.float64, 2), array_type(np.float64, 3)
    integers = array_type(np.int64, 1)
    kernels = {
        cuda_rows._leaves: (types.int64, types.int64, types.Tuple([rows, nodes])),
        cuda_rows._pairs: (types.int64, types.Tuple([nodes, nodes])),
        cuda_rows._find_extrema: (types.int64, types.int64, types.Tuple([rows, rows])),
        cuda_rows._count: (
            types.int64,
            types.int64,
            types.Tuple([rows, integers, integers, array_type(np.int32, 1)]),
        ),
        cuda_rows._map(depth): (types.Tuple([rows, rows, rows]),),
    }
    for kernel, arguments in kernels.items():
        ptx, _ = cuda.compile(
            kernel.py_func, types.void(*arguments), cc=CAPABILITY, device=False, abi="numba"
        )
        found = spills(ptx, tmp_path)
        assert found is None or found[1] == 0
        if kernel is cuda_rows._count:
            assert re.search(r"(atom|red)\.shared", ptx)


@pytest.mark.slow
@pytest.mark.parametrize("landscape", LANDSCAPES)
def test_every_landscape_and_optimizer(landscape, tmp_path):
    """Without spills; with all measures at once, at least it compiles."""
    for optimizer in OPTIMIZERS:
        case = study(landscape, optimizer)
        if case is not None:
            check(compiled(case.replace(measures=fs.Loss())), tmp_path)
    assert ".entry" in compiled(study(landscape, "momentum"))


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer(name, tmp_path):
    for team in (1, 32, 256):
        check(compiled(quadratic(OPTIMIZERS[name]), team), tmp_path)
    check(compiled(quadratic(OPTIMIZERS[name], "double")), tmp_path)
