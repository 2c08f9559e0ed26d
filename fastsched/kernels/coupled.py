"""The loop of landscapes whose gradient couples the coordinates.

A landscape of this kind is two device functions that work on whole tiles:

- `gradient(normals, first, last, trajectory, t, k, state, field, table, data, work, keys)` writes
  the stochastic gradient of step t at the displacements `state[0]` to `field[k]`, which holds the
  coordinates' normals for that step where the landscape asked for them;
- `loss(first, last, slot, state, data, work, totals)` writes to `totals` the loss at
  `state[slot]`, for each lane.

`state` and `field` have shape (numbers, d, lanes), `work` is a tuple of arrays (rows, lanes),
and `data` the landscape's arrays. Lanes are first ... last - 1, those of `work` and `totals`
counted from first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastsched.kernels.body import (
    GROUP,
    HEADER,
    RUN_TILES,
    Measured,
    import_function,
    indent,
    name_parts,
)

_TEMPLATE = (
    HEADER
    + '''\
@subroutine
def record(first, last, row, state, totals, data, work, observed, column):
    """Record the losses of lanes first ... last - 1."""
{record}


@device
def start(first, last, trajectory, state, scratch, constants, start_moments, keys, record_at,
          data, observed, column):
    """Draw the start of lanes first ... last - 1 and record it where asked."""
    totals = scratch[1]
    work = scratch[2]
    for i in range(constants.shape[1]):
        mean = start_moments[0, i]
        std = start_moments[1, i]
        for lane in range(first, last):
            z, _, _, _ = normals(
                np.uint32(i), np.uint32(0), np.uint32(trajectory + lane), _START, keys
            )
            x = mean + std * z
{start_state}
    row = record_at[0]
    if row >= 0:
        record(first, last, row, state, totals, data, work, observed, column)


@device
def advance(first, last, trajectory, begin, end, state, scratch, constants, table, keys,
            record_at, data, observed, column):
    """Take the steps of groups begin ... end - 1 in lanes first ... last - 1.

    Lane `lane` is trajectory `trajectory + lane`; its state is `state[:, :, lane]` and what it
    records goes to `observed[:, :, column + lane]`.
    """
    field = scratch[0]
    totals = scratch[1]
    work = scratch[2]
    dim = constants.shape[1]
    for group in range(begin, end):
{draw}
        for k in range(min({group}, table.shape[0] - {group} * group)):
            t = {group} * group + k
            gradient(
                normals, first, last, trajectory, t, k, state, field, table, data, work, keys
            )
{load_table}
            for i in range(dim):
                origin = constants[0, i]
                for lane in range(first, last):
{load_state}
                    g = field[k, i, lane]
{step}
{store_state}
            row = record_at[t + 1]
            if row >= 0:
                record(first, last, row, state, totals, data, work, observed, column)
'''
    + RUN_TILES
)

_DRAW = """\
for i in range(dim):
    for lane in range(first, last):
        z0, z1, z2, z3 = normals(
            np.uint32(i), np.uint32(group), np.uint32(trajectory + lane), _NOISE, keys
        )
        field[0, i, lane] = z0
        field[1, i, lane] = z1
        field[2, i, lane] = z2
        field[3, i, lane] = z3
"""


def coupled_source(
    gradient: Any,
    loss: Any,
    draws: bool,
    table_columns: int,
    cache: bool,
    update: Any,
    slots: int,
    coefficients: int,
    measured: Sequence[Measured],
    precision: str,
) -> str:
    """Return the source of the kernel module.

    Parameters
    ----------
    gradient, loss
        Device functions of the landscape.
    draws : bool
        Whether the landscape wants a normal of each coordinate at each step.
    table_columns : int
        The landscape's columns of the table, which come before the optimizer's.
    cache : bool
        Whether the kernel can be kept on disk.
    update, slots, coefficients, measured, precision
        As for `separable_source`.
    """
    names = name_parts(update, slots, measured)
    columns = coefficients + sum(m.coefficients for m in measured)
    table = [(table_columns + j, f"h{j}") for j in range(columns)]
    slot = {name: j for j, name in enumerate(names.state)}
    record, readouts = [], []
    for m, memory in enumerate(names.memories):
        readout = measured[m].readout
        function = "loss" if readout is None else f"readout{m}"
        if readout is not None:
            readouts.append(import_function(readout, function))
        record += [
            f"{function}(first, last, {slot[memory or 'x']}, state, data, work, totals)",
            "for lane in range(first, last):",
            f"    observed[{m}, row, column + lane] = totals[0, lane - first]",
        ]
    starts = ["x" if name in ("x", *names.memories) else "0" for name in names.state]
    starts = [f"state[{j}, i, lane] = {value}" for j, value in enumerate(starts)]
    return _TEMPLATE.format(
        imports="\n".join(
            [
                f"from fastsched.kernels.philox import normals_{precision} as normals",
                import_function(gradient, "gradient"),
                import_function(loss, "loss"),
                *names.imports,
                *readouts,
            ]
        ),
        # A constant would make LLVM unroll short loops before it looks for vectors.
        lanes="state.shape[2]",
        cache=cache,
        group=GROUP,
        record=indent(record, 4),
        draw=indent(_DRAW.splitlines() if draws else [], 8),
        start_state=indent(
            [f"state[{j}, i, lane] = {value}" for j, value in enumerate(starts)], 12
        ),
        load_table=indent([f"{name} = table[t, {column}]" for column, name in table], 12),
        load_state=indent([f"{name} = state[{j}, i, lane]" for name, j in slot.items()], 20),
        step=indent(names.update([name for _, name in table], measured), 20),
        store_state=indent([f"state[{j}, i, lane] = {name}" for name, j in slot.items()], 20),
    )
