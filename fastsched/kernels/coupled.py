"""The loop of landscapes whose gradient couples the coordinates.

A landscape of this kind is two device functions that work on whole tiles:

- `gradient(normals, first, last, trajectory, t, k, state, field, table, data, work, keys)` writes
  the stochastic gradient of step t at the displacements `state[0]` to `field[k]`, which holds the
  coordinates' normals for that step where the landscape asked for them;
- `loss(first, last, slot, state, data, work, totals)` writes to `totals` the loss at
  `state[slot]`, for each lane.

`state` and `field` have shape (numbers, d, lanes), `work` is a tuple of arrays (rows, lanes),
and `data` the landscape's arrays. Lanes are first ... last - 1, those of `work` and `totals`
counted from first. A separable landscape becomes one of this kind where a measure needs to see
the whole iterate after each step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastsched.kernels.body import GROUP, HEADER, NOTICE, NOTICE_AND_START, Machine
from fastsched.kernels.parts import Parts, import_function, indent
from fastsched.kernels.probe import Probe

_ADVANCE = """\
        field = work[0]
{draw}
        for k in range(min({group}, steps - {group} * group)):
            t = {group} * group + k
            gradient(
                normals, first, last, trajectory, t, k, state, field, table, data, work[1], keys
            )
{load_table}
            for j in range({rows}):
                for lane in range(first, last):
                    sums[j, lane - first] = 0
            for chunk in {chunks}:
                for j in range({rows}):
                    for lane in range(first, last):
                        terms[j * width + lane - first] = 0
                for i in {coordinates}:
                    origin = constants[0, i]
{load_constants}
                    for lane in range(first, last):
{load_state}
                        g = field[k, i, lane]
{step}
{store_state}
                for j in range({rows}):
                    for lane in range(first, last):
                        sums[j, lane - first] += terms[j * width + lane - first]
            if {wanted}:
                {notice}
"""

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
    probes: Sequence[Probe],
    precision: str,
    machine: Machine,
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
    update, slots, coefficients, probes, precision, machine
        As for `separable_source`.
    """
    imports = [import_function(gradient, "gradient"), import_function(loss, "loss")]
    return _source(
        "\n".join(imports),
        draws,
        cache,
        Parts(update, slots, coefficients, table_columns, 0, probes),
        precision,
        machine,
    )


_SPLIT = """\
from {gradient_module} import {gradient} as coordinate_gradient
from {loss_module} import {loss} as coordinate_loss


@device
def gradient(normals, first, last, trajectory, t, k, state, field, table, data, work, keys):
    for i in range(state.shape[1]):
{load}
        for lane in range(first, last):
            field[k, i, lane] = coordinate_gradient(
                state[0, i, lane], field[k, i, lane], table[t, 0], {constants}
            )


@device
def loss(first, last, slot, state, data, work, totals):
    for lane in range(first, last):
        totals[0, lane - first] = 0
    for i in range(state.shape[1]):
{load}
        for lane in range(first, last):
            totals[0, lane - first] += coordinate_loss(state[slot, i, lane], {constants})
"""


def joined_source(
    gradient: Any,
    loss: Any,
    constants: int,
    update: Any,
    slots: int,
    coefficients: int,
    probes: Sequence[Probe],
    precision: str,
    machine: Machine,
) -> str:
    """As `separable_source`, for probes with views, which want the iterate after each step."""
    c = [f"c{j}" for j in range(constants)]
    prelude = _SPLIT.format(
        gradient_module=gradient.py_func.__module__,
        gradient=gradient.py_func.__name__,
        loss_module=loss.py_func.__module__,
        loss=loss.py_func.__name__,
        load=indent([f"{name} = data[0][{j}, i]" for j, name in enumerate(c)], 8),
        constants=", ".join(c),
    )
    parts = Parts(update, slots, coefficients, 1, 0, probes)
    return _source(prelude, True, True, parts, precision, machine)


def _source(
    prelude: str, draws: bool, cache: bool, parts: Parts, precision: str, machine: Machine
) -> str:
    def see_loss(slot: int, row: int) -> list[str]:
        return [f"loss(first, last, {slot}, state, data, work[1], numbers[{row}:{row + 1}])"]

    column = "h{}".format
    return (HEADER + NOTICE_AND_START + _ADVANCE + machine.kernel).format(
        imports="\n".join([prelude, *parts.imports]),
        precision=precision,
        # A constant would make LLVM unroll short loops before it looks for vectors.
        lanes="state.shape[2]",
        cache=cache and parts.cacheable,
        group=GROUP,
        rows=len(parts.terms),
        draw=indent(_DRAW.splitlines() if draws else [], 8),
        load_start_coefficients=indent(
            [f"{column(k)} = table[0, {k}]" for k in parts.own_columns], 4
        ),
        load_start_constants=indent(parts.load_constants(), 12),
        start=indent([*parts.start(column), *parts.add_terms()], 16),
        share_start="",
        finish_start="",
        load_table=indent([f"{column(k)} = table[t, {k}]" for k in parts.own_columns], 12),
        load_constants=indent(parts.load_constants(), 20),
        load_state=indent(parts.load_state(), 24),
        step=indent([*parts.step(column), *parts.add_terms()], 24),
        store_state=indent(parts.store_state(), 24),
        wanted=parts.wanted("t + 1"),
        notice=NOTICE.format(time="t + 1", sums="sums"),
        **machine.text,
        **parts.notice(0, see_loss, "work[1]"),
    )
