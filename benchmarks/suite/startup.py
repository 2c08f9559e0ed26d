"""New processes: seconds to the import and to the first result, and the memory of a run."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

from .common import check, study

FIRST_RESULT = """
import numpy, fastsched as fs
h = 1 / numpy.arange(1, 101)
result = fs.run(fs.Study(fs.Quadratic(h), fs.SGD(0.1), 100, 1000), progress=False)
assert 0 < float(result.data["loss"][-1]) < float(result.data["loss"][0])
"""


def start(script, cache):
    """Run a script in a new process with a folder of compiled kernels."""
    subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "NUMBA_CACHE_DIR": cache}, check=True
    )


class StartUp:
    """Seconds of a new process, from an empty or a filled cache of compiled kernels."""

    number, repeat, rounds, warmup_time = 1, 2, 4, 0

    def setup_cache(self):
        # asv gives a new folder, which lasts as long as these benchmarks.
        cache = os.path.abspath("kernels")
        start(FIRST_RESULT, cache)
        return cache

    def time_import(self, cache):
        start("import fastsched", cache)

    def time_first_result_filled_cache(self, cache):
        start(FIRST_RESULT, cache)

    def time_first_result_empty_cache(self, cache):
        with tempfile.TemporaryDirectory() as empty:
            start(FIRST_RESULT, empty)


class Memory:
    """The peak of a process that loads its kernel; compiling one takes more."""

    params = (1000, 1_000_000)
    param_names = ("trajectories",)

    def setup_cache(self):
        check(study(100, 1000, steps=20))

    def setup(self, trajectories):
        self.study = study(100, trajectories, steps=20)

    def peakmem_run(self, trajectories):
        check(self.study)
