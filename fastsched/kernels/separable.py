"""The loop of landscapes whose gradient of a coordinate needs that coordinate only.

Four steps of a coordinate are taken in one visit: its state is loaded once, and the four
normals come from one Philox block. What is recorded are sums over coordinates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastsched.kernels.body import (
    CHUNK,
    GROUP,
    HEADER,
    RUN_TILES,
    Measured,
    import_function,
    indent,
    name_parts,
)
from fastsched.kernels.reduce import LANES

_TEMPLATE = (
    HEADER
    + '''\
@device
def start(first, last, trajectory, state, scratch, constants, start_moments, keys, record_at,
          data, observed, column):
    """Draw the start of lanes first ... last - 1 and record it where asked."""
    sums, totals = scratch
    for lane in range(first, last):
{clear_totals}
    for i in range(constants.shape[1]):
{load_constants}
        mean = start_moments[0, i]
        std = start_moments[1, i]
        for lane in range(first, last):
            z, _, _, _ = normals(
                np.uint32(i), np.uint32(0), np.uint32(trajectory + lane), _START, keys
            )
            x = mean + std * z
            state[0, i, lane] = x
{start_state}
{start_terms}
    row = record_at[0]
    if row >= 0:
        for lane in range(first, last):
{start_record}


@device
def advance(first, last, trajectory, begin, end, state, scratch, constants, table, keys,
            record_at, data, observed, column):
    """Take the four steps of each group begin ... end - 1 in lanes first ... last - 1.

    Lane `lane` is trajectory `trajectory + lane`; its state is `state[:, :, lane]` and what it
    records goes to `observed[:, :, column + lane]`. `sums` and `totals` are work space of
    shape (4 * measures, last - first).
    """
    sums, totals = scratch
    dim = constants.shape[1]
    for group in range(begin, end):
        t = {group} * group
{load_table}
        for k in range({sums_rows}):
            for lane in range(first, last):
                totals[k, lane - first] = 0
        for chunk in range(0, dim, {chunk}):
            for k in range({sums_rows}):
                for lane in range(first, last):
                    sums[k, lane - first] = 0
            for i in range(chunk, min(chunk + {chunk}, dim)):
{load_constants_deep}
                for lane in range(first, last):
{load_state}
                    {normals} = normals(
                        np.uint32(i), np.uint32(group), np.uint32(trajectory + lane), _NOISE, keys
                    )
{steps}
{store_state}
            for k in range({sums_rows}):
                for lane in range(first, last):
                    totals[k, lane - first] += sums[k, lane - first]
        for k in range({group}):
            row = record_at[t + k + 1]
            if row >= 0:
                for lane in range(first, last):
{record}
'''
    + RUN_TILES
)


def separable_source(
    gradient: Any,
    loss: Any,
    constants: int,
    update: Any,
    slots: int,
    coefficients: int,
    measured: Sequence[Measured],
    precision: str,
) -> str:
    """Return the source of the kernel module.

    Parameters
    ----------
    gradient, loss, update
        Device functions of the landscape and the optimizer; like those of the measures, they
        are globals of importable modules.
    constants, slots, coefficients : int
        The landscape's constants, the optimizer's numbers of state, and the columns of its
        table, for one coordinate or step.
    measured : sequence of Measured
        What the measures ask for.
    precision : {"single", "double"}
    """
    names = name_parts(update, slots, measured)
    imports = [f"from fastsched.kernels.philox import normals_{precision} as normals"]
    imports += [import_function(gradient, "gradient"), import_function(loss, "loss")]
    c = [f"c{j}" for j in range(constants)]
    z = [f"z{k}" for k in range(GROUP)]
    columns = 1 + coefficients + sum(m.coefficients for m in measured)
    table = [(k, column, f"h{k}_{column}") for k in range(GROUP) for column in range(columns)]
    load_constants = [f"{name} = constants[{j}, i]" for j, name in enumerate(["origin", *c])]

    def add_losses(rows: Sequence[str]) -> list[str]:
        return [
            f"{row} += loss({', '.join([memory or 'x', *c])})"
            for row, memory in zip(rows, names.memories, strict=True)
        ]

    def observe(rows: Sequence[str]) -> list[str]:
        return [f"observed[{m}, row, column + lane] = {row}" for m, row in enumerate(rows)]

    steps = []
    for k in range(GROUP):
        scale, *rest = [name for step, _, name in table if step == k]
        steps.append(f"g = gradient(x, z{k}, {scale}, {', '.join(c)})")
        steps += names.update(rest, measured)
        steps += add_losses([f"sums[{GROUP * m + k}, lane - first]" for m in range(len(measured))])
    begins = ["x" if name in names.memories else "0" for name in names.state]
    totals = [f"totals[{m}, lane - first]" for m in range(len(measured))]
    return _TEMPLATE.format(
        imports="\n".join([*imports, *names.imports]),
        lanes=LANES,
        cache=True,
        group=GROUP,
        chunk=CHUNK,
        sums_rows=GROUP * len(measured),
        normals=", ".join(z),
        clear_totals=indent([f"{row} = 0" for row in totals], 8),
        load_constants=indent(load_constants, 8),
        load_constants_deep=indent(load_constants, 16),
        start_state=indent(
            [
                f"state[{j}, i, lane] = {begins[j]}"
                if begins[j] == "0"
                else f"state[{j}, i, lane] = {name} = x"
                for j, name in enumerate(names.state)
                if j > 0
            ],
            12,
        ),
        start_terms=indent(add_losses(totals), 12),
        start_record=indent(observe(totals), 12),
        load_table=indent([f"{name} = table[t + {k}, {col}]" for k, col, name in table], 8),
        load_state=indent(
            [f"{name} = state[{j}, i, lane]" for j, name in enumerate(names.state)], 20
        ),
        steps=indent(steps, 20),
        store_state=indent(
            [f"state[{j}, i, lane] = {name}" for j, name in enumerate(names.state)], 20
        ),
        record=indent(
            observe([f"totals[{GROUP * m} + k, lane - first]" for m in range(len(measured))]), 20
        ),
    )
