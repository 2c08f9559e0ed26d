"""The loop of landscapes whose coordinates meet in a few sums over all of them.

A step has two parts: the gradient of a coordinate, which needs the weights that the sums give,
and the sums at the new point, which the next step needs. Both are done in one visit of the
coordinate; its normals come from a buffer that is filled for four steps at once.
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
def record(first, last, row, state, sums, totals, constants, data, observed, column):
    """Record the losses at the memories of lanes first ... last - 1."""
{record_memories}


@device
def start(first, last, trajectory, state, scratch, constants, start_moments, keys, record_at,
          data, observed, column):
    """Draw the start of lanes first ... last - 1 and record it where asked."""
    _, sums, _, _, totals = scratch
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
{reduce_start}
{record}
        record(first, last, row, state, sums, totals, constants, data, observed, column)


@device
def advance(first, last, trajectory, begin, end, state, scratch, constants, table, keys,
            record_at, data, observed, column):
    """Take the steps of groups begin ... end - 1 in lanes first ... last - 1.

    Lane `lane` is trajectory `trajectory + lane`; its state is `state[:, :, lane]` and what it
    records goes to `observed[:, :, column + lane]`.
    """
    field, sums, weights, extra, totals = scratch
    dim = constants.shape[1]
    for group in range(begin, end):
        for e in range({extras}):
            for lane in range(first, last):
                z0, z1, z2, z3 = normals(
                    np.uint32(dim + e), np.uint32(group), np.uint32(trajectory + lane), _NOISE,
                    keys
                )
                extra[4 * e, lane - first] = z0
                extra[4 * e + 1, lane - first] = z1
                extra[4 * e + 2, lane - first] = z2
                extra[4 * e + 3, lane - first] = z3
        for j in range({sums}):
            for lane in range(first, last):
                totals[j, lane - first] = 0
        for chunk in range(0, dim, {chunk}):
            for j in range({sums}):
                for lane in range(first, last):
                    sums[j, lane - first] = 0
            for i in range(chunk, min(chunk + {chunk}, dim)):
{load_constants}
                for lane in range(first, last):
                    z0, z1, z2, z3 = normals(
                        np.uint32(i), np.uint32(group), np.uint32(trajectory + lane), _NOISE, keys
                    )
                    field[0, i, lane - first] = z0
                    field[1, i, lane - first] = z1
                    field[2, i, lane - first] = z2
                    field[3, i, lane - first] = z3
                    x = state[0, i, lane]
                    z = z0
{reduce}
            for j in range({sums}):
                for lane in range(first, last):
                    totals[j, lane - first] += sums[j, lane - first]
        for k in range(min({group}, table.shape[0] - {group} * group)):
            t = {group} * group + k
            following = min(k + 1, {group} - 1)
{load_table}
            for lane in range(first, last):
{weigh}
            for j in range({sums}):
                for lane in range(first, last):
                    totals[j, lane - first] = 0
            for chunk in range(0, dim, {chunk}):
                for j in range({sums}):
                    for lane in range(first, last):
                        sums[j, lane - first] = 0
                for i in range(chunk, min(chunk + {chunk}, dim)):
                    origin = constants[0, i]
{load_constants_deep}
                    for lane in range(first, last):
{load_state}
{step}
{store_state}
                        z = field[following, i, lane - first]
{reduce_deep}
                for j in range({sums}):
                    for lane in range(first, last):
                        totals[j, lane - first] += sums[j, lane - first]
            row = record_at[t + 1]
            if row >= 0:
{record_deep}
                record(first, last, row, state, sums, totals, constants, data, observed, column)
'''
    + RUN_TILES
)

_REDUCE_SLOT = """\
for j in range({sums}):
    for lane in range(first, last):
        totals[{offset} + j, lane - first] = 0
for chunk in range(0, constants.shape[1], {chunk}):
    for j in range({sums}):
        for lane in range(first, last):
            sums[j, lane - first] = 0
    for i in range(chunk, min(chunk + {chunk}, constants.shape[1])):
{load_constants}
        for lane in range(first, last):
            x = state[{slot}, i, lane]
            z = x
{reduce}
    for j in range({sums}):
        for lane in range(first, last):
            totals[{offset} + j, lane - first] += sums[j, lane - first]
"""


def summed_source(
    reduce: Any,
    weigh: Any,
    gradient: Any,
    loss: Any,
    sums: int,
    weights: int,
    extras: int,
    constants: int,
    table_columns: int,
    update: Any,
    slots: int,
    coefficients: int,
    measured: Sequence[Measured],
    precision: str,
) -> str:
    """Return the source of the kernel module.

    Parameters
    ----------
    reduce, weigh, gradient, loss
        Device functions of the landscape; see `fastsched.landscapes.base.Summed`.
    sums, weights, extras, constants, table_columns : int
        How many sums, weights, normals of each step beside those of the coordinates, constants
        of each coordinate, and columns of the table the landscape has.
    update, slots, coefficients, measured, precision
        As for `separable_source`.
    """
    names = name_parts(update, slots, measured)
    c = [f"c{j}" for j in range(constants)]
    w = [f"weights[{j}, lane - first]" for j in range(weights)]
    a = [f"totals[{j}, lane - first]" for j in range(sums)]
    columns = table_columns + coefficients + sum(m.coefficients for m in measured)
    table = [f"h{column}" for column in range(columns)]
    slot = {name: j for j, name in enumerate(names.state)}
    load_constants = [f"{name} = constants[{j + 1}, i]" for j, name in enumerate(c)]
    add_terms = [
        f"{_tuple('a', sums)} = reduce({', '.join(['x', 'z', *c])})",
        *(f"sums[{j}, lane - first] += a{j}" for j in range(sums)),
    ]
    take_step = [
        f"g = gradient({', '.join(['x', 'field[k, i, lane - first]', *w, *c])})",
        *names.update(table[table_columns:], measured),
    ]
    weigh_arguments = ["normals", "keys", "np.uint32(trajectory + lane)", "np.uint32(t)"]
    weigh_arguments += [
        *table[:table_columns],
        *(f"extra[4 * {e} + k, lane - first]" for e in range(extras)),
    ]
    weigh_step = [
        f"{_tuple('w', weights)} = weigh({', '.join([*weigh_arguments, *a, 'data'])})",
        *(f"weights[{j}, lane - first] = w{j}" for j in range(weights)),
    ]

    # The sums of a memory lie behind those of the iterate, which the next step needs.
    b = [f"totals[{sums + j}, lane - first]" for j in range(sums)]

    def observe(measure: int, a: Sequence[str]) -> list[str]:
        return [
            "for lane in range(first, last):",
            f"    observed[{measure}, row, column + lane] = loss({', '.join([*a, 'data'])})",
        ]

    def reduce_slot(j: int) -> list[str]:
        text = _REDUCE_SLOT.format(
            sums=sums,
            chunk=CHUNK,
            slot=j,
            offset=sums if j else 0,
            load_constants=indent(load_constants, 8),
            reduce=indent(add_terms, 12),
        )
        return text.splitlines()

    record, record_memories = [], []
    for measure, memory in enumerate(names.memories):
        if memory is None:
            record += observe(measure, a)
        else:
            record_memories += reduce_slot(slot[memory]) + observe(measure, b)
    starts = ["x" if name in ("x", *names.memories) else "0" for name in names.state]
    functions = {"reduce": reduce, "weigh": weigh, "gradient": gradient, "loss": loss}
    return _TEMPLATE.format(
        imports="\n".join(
            [
                f"from fastsched.kernels.philox import normals_{precision} as normals",
                *(import_function(function, name) for name, function in functions.items()),
                *names.imports,
            ]
        ),
        lanes=LANES,
        cache=True,
        group=GROUP,
        chunk=CHUNK,
        sums=sums,
        extras=extras,
        start_state=indent(
            [f"state[{j}, i, lane] = {value}" for j, value in enumerate(starts)], 12
        ),
        reduce_start=indent(reduce_slot(0), 8),
        record_memories=indent(record_memories or ["pass"], 4),
        record=indent(record, 8),
        record_deep=indent(record, 16),
        load_constants=indent(load_constants, 16),
        load_constants_deep=indent(load_constants, 20),
        reduce=indent(add_terms, 20),
        reduce_deep=indent(add_terms, 24),
        load_table=indent([f"{name} = table[t, {j}]" for j, name in enumerate(table)], 12),
        weigh=indent(weigh_step, 16),
        load_state=indent([f"{name} = state[{j}, i, lane]" for name, j in slot.items()], 24),
        step=indent(take_step, 24),
        store_state=indent([f"state[{j}, i, lane] = {name}" for name, j in slot.items()], 24),
    )


def _tuple(prefix: str, count: int) -> str:
    return "(" + "".join(f"{prefix}{j}, " for j in range(count)) + ")"
