"""Digests of results, one file per kind of processor: changes of structure keep every bit.

A deliberate change of numbers updates the file of the processor at hand, in a commit of its own:

    FASTSCHED_PIN=1 pytest -n 0 tests/test_pinned_bits.py
"""

from __future__ import annotations

import hashlib
import json
import os
from importlib.metadata import version
from pathlib import Path

import llvmlite.binding
import numpy as np
import pytest
import test_landscapes
import test_optimizers
from measures import test_by_definition

import fastsched as fs

FOLDER = Path(__file__).parent / "pinned_bits"


def landscape(name, precision, momentum):
    """A study whose kernel other tests compile too."""
    model, lr, batches = test_landscapes.EXAMPLES[name]
    optimizer = fs.SGD(fs.Cosine(lr * (1 - momentum), 30), momentum, weight_decay=0.01)
    return fs.Study(model, optimizer, 37, 100, batches[-1], seed=7, precision=precision)


def optimizer(name):
    model = test_optimizers.LANDSCAPES["quadratic"]
    return fs.Study(model, test_optimizers.OPTIMIZERS[name], 22, 100, precision="double")


def cases():
    """Return studies and sweeps of all landscapes, optimizers and measures by name."""
    found = {}
    for name in test_landscapes.EXAMPLES:
        if "wide" not in name and name not in test_landscapes.SLOW:
            found[f"{name}, single"] = landscape(name, "single", 0.0)
            found[f"{name}, double"] = landscape(name, "double", 0.7)
    for name in test_optimizers.OPTIMIZERS:
        found[name] = optimizer(name)
    for name, momentum in (
        ("quadratic", 0.7),
        ("least squares", 0.7),
        ("double well", 0.0),
        ("wells", 0.7),
    ):
        found[f"measures of {name}"] = test_by_definition.study(name, momentum)
    rates = {"constant": 0.1, "cosine": fs.Cosine(0.3, 37)}
    swept = landscape("quadratic", "single", 0.0)
    found["sweep"] = fs.sweep(swept, {"optimizer.lr": rates, "batch_size": [1, 4]})
    return found


CASES = cases()


def processor():
    """Return what the bits depend on: the processor, the compiler and the linear algebra."""
    features = llvmlite.binding.get_host_cpu_features()
    vectors = next((v for v in ("avx512f", "avx2", "neon") if features.get(v)), "scalar")
    versions = [f"{name}-{version(name)}" for name in ("numba", "llvmlite", "numpy", "scipy")]
    blas = os.environ.get("OPENBLAS_CORETYPE", "")
    return "-".join(filter(None, [llvmlite.binding.get_host_cpu_name(), vectors, blas, *versions]))


def digest(result):
    """Return a digest of all numbers of a result."""
    found = hashlib.sha256()
    datasets = [result.data, *([result.pairs] if isinstance(result, fs.SweepResult) else [])]
    for data in datasets:
        for name in sorted(map(str, data.variables)):
            values = data[name].values
            if values.dtype.kind == "f":
                values = np.where(np.isnan(values), np.nan, values)  # one NaN of many
            found.update(f"{name} {values.shape} ".encode())
            found.update(values.tobytes())
    return found.hexdigest()[:16]


@pytest.mark.parametrize("name", CASES)
def test_bits(name):
    path = FOLDER / f"{processor()}.json"
    pinned = json.loads(path.read_text()) if path.exists() else {}
    found = digest(fs.run(CASES[name], progress=False))
    if os.environ.get("FASTSCHED_PIN"):
        FOLDER.mkdir(exist_ok=True)
        ordered = {case: (pinned | {name: found}).get(case) for case in CASES}
        known = {case: value for case, value in ordered.items() if value}
        path.write_text(json.dumps(known, indent=1) + "\n")
    elif not path.exists():
        pytest.skip(f"no digests are pinned for this processor ({processor()})")
    else:
        assert found == pinned.get(name)
