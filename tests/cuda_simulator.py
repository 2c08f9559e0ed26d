"""Run the kernel's device functions one thread per trajectory under Numba's CUDA simulator.

Started by `test_kernels.py` in a process of its own, because the simulator is chosen by an
environment variable before Numba is imported.
"""

from __future__ import annotations

import numpy as np
from numba import cuda

import fastsched as fs
from fastsched.kernels.body import GROUP
from fastsched.kernels.reduce import LANES
from fastsched.plan import make_plan

THREADS = 4


def main() -> None:
    for momentum, precision in ((0.0, "single"), (0.9, "single"), (0.9, "double")):
        study = fs.Study(
            fs.Quadratic([1.0, 0.5, 0.1], noise="hessian", start=fs.Normal()),
            fs.SGD(fs.Cosine(0.2, 6), momentum=momentum, weight_decay=0.01),
            steps=6,
            trajectories=6,
            record=np.arange(7),
            measures=(fs.Loss(), fs.Average("polyak"), fs.Alignment(), fs.Overshoot(axes=[0, 2])),
            precision=precision,
        )
        compare(study)
    print("CPU and CUDA simulator agree")


def compare(study: fs.Study) -> None:
    plan = make_plan(study, threads=1)
    a = plan.arguments
    runner = plan.runner()
    tiles = runner.run(0, plan.tiles, lambda: True, lambda updates: None)
    assert tiles is not None
    # A GPU compiles `advance` as it is; the simulator runs kernels, hence their loops, in Python,
    # which calls the same compiled device functions.
    module = runner._kernel
    for name in ("notice", "begin_numbers", "record", "keep"):
        setattr(module, name, getattr(module, name).py_func)
    start, advance, keep = module.start.py_func, module.advance.py_func, module.keep

    @cuda.jit
    def kernel(state, constants, start_moments, table, keys, terms, sums, numbers, observed,
               kept):  # fmt: skip
        lane = cuda.grid(1)
        if lane < observed.shape[2]:
            scratch = terms[:, lane], sums[:, lane : lane + 1], numbers[:, lane : lane + 1], (), ()
            start(lane, lane + 1, 0, state, scratch, constants, start_moments, table, keys, (),
                  (), a.ledger, observed, 0)  # fmt: skip
            advance(lane, lane + 1, 0, 0, table.shape[0] // GROUP, state, scratch, constants,
                    table, keys, (), (), a.ledger, observed, 0)  # fmt: skip
            keep(lane, lane + 1, a.ledger, state, scratch[2], kept, 0)

    n = study.trajectories
    blocks = -(-n // THREADS)
    observed = np.full((len(a.ledger.readings), a.records, n), np.nan)
    kept = np.full((len(a.ledger.kept), n), np.nan)
    kernel[blocks, THREADS](
        np.zeros((*a.state_shape[:2], n), a.table.dtype),
        a.constants,
        a.start_moments,
        a.table,
        a.keys,
        *(np.zeros((np.prod(shape) // LANES, n), dtype) for shape, dtype in a.scratch[:3]),
        observed,
        kept,
    )
    # The compiled loop contracts multiplications and additions, the simulator does not.
    tolerance = 1e-5 if study.precision == "single" else 1e-13
    for ours, theirs in ((observed, tiles[0][:, :, :n]), (kept, tiles[1][:, :n])):
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance / 100)


if __name__ == "__main__":
    main()
