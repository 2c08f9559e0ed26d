"""The loop of landscapes whose coordinates meet in a few sums over all of them.

A step has two parts: the gradient of a coordinate, which needs the weights that the sums give,
and the sums at the new point, which the next step needs. Both are done in one visit of the
coordinate; its normals come from a buffer that is filled for four steps at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastsched.kernels.body import GROUP, HEADER, NOTICE, NOTICE_AND_START, Machine
from fastsched.kernels.parts import Parts, import_function, indent, tuple_text
from fastsched.kernels.probe import Probe
from fastsched.kernels.reduce import LANES

_ADVANCE = """\
        field, part, weights, extra, totals = work
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
        for chunk in {chunks}:
            for j in range({sums}):
                for lane in range(first, last):
                    part[j, lane - first] = 0
            for i in {coordinates}:
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
                    totals[j, lane - first] += part[j, lane - first]
{share_group}
        for k in range(min({group}, steps - {group} * group)):
            t = {group} * group + k
            following = min(k + 1, {group} - 1)
{load_table}
            for lane in range(first, last):
{weigh}
            for j in range({sums}):
                for lane in range(first, last):
                    totals[j, lane - first] = 0
            for j in range({rows}):
                for lane in range(first, last):
                    sums[j, lane - first] = 0
            for chunk in {chunks}:
                for j in range({sums}):
                    for lane in range(first, last):
                        part[j, lane - first] = 0
                for j in range({rows}):
                    for lane in range(first, last):
                        terms[j * width + lane - first] = 0
                for i in {coordinates}:
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
                        totals[j, lane - first] += part[j, lane - first]
                for j in range({rows}):
                    for lane in range(first, last):
                        sums[j, lane - first] += terms[j * width + lane - first]
{share_step}
            if {wanted}:
{share}
                {notice}
"""

_REDUCE_SLOT = """\
dim = constants.shape[1]
for j in range({sums}):
    for lane in range(first, last):
        totals[{offset} + j, lane - first] = 0
for chunk in {chunks}:
    for j in range({sums}):
        for lane in range(first, last):
            part[j, lane - first] = 0
    for i in {coordinates}:
{load_constants}
        for lane in range(first, last):
            x = state[{slot}, i, lane]
            z = x
{reduce}
    for j in range({sums}):
        for lane in range(first, last):
            totals[{offset} + j, lane - first] += part[j, lane - first]
{share}
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
    probes: Sequence[Probe],
    precision: str,
    machine: Machine,
) -> str:
    """Return the source of the kernel module.

    Parameters
    ----------
    reduce, weigh, gradient, loss
        Device functions of the landscape; see `fastsched.landscapes.base.Summed`.
    sums, weights, extras, constants, table_columns : int
        How many sums, weights, normals of each step beside those of the coordinates, constants
        of each coordinate, and columns of the table the landscape has.
    update, slots, coefficients, probes, precision, machine
        As for `separable_source`.
    """
    parts = Parts(update, slots, coefficients, table_columns, constants, probes)
    c = [f"c{j}" for j in range(constants)]
    w = [f"weights[{j}, lane - first]" for j in range(weights)]
    table = [f"h{column}" for column in range(parts.columns)]
    load_constants = [f"{name} = constants[{j + 1}, i]" for j, name in enumerate(c)]
    add_terms = [
        f"{tuple_text(f'a{j}' for j in range(sums))} = reduce({', '.join(['x', 'z', *c])})",
        *(f"part[{j}, lane - first] += a{j}" for j in range(sums)),
    ]
    take_step = [
        f"g = gradient({', '.join(['x', 'field[k, i, lane - first]', *w, *c])})",
        *parts.step("h{}".format),
        *parts.add_terms(),
    ]
    weigh_arguments = ["normals", "keys", "np.uint32(trajectory + lane)", "np.uint32(t)"]
    weigh_arguments += [
        *table[:table_columns],
        *(f"extra[4 * {e} + k, lane - first]" for e in range(extras)),
        *(f"totals[{j}, lane - first]" for j in range(sums)),
        "data",
    ]
    weigh_step = [
        f"{tuple_text(f'w{j}' for j in range(weights))} = weigh({', '.join(weigh_arguments)})",
        *(f"weights[{j}, lane - first] = w{j}" for j in range(weights)),
    ]

    def reduce_slot(slot: int, offset: int) -> list[str]:
        text = _REDUCE_SLOT.format(
            sums=sums,
            slot=slot,
            offset=offset,
            load_constants=indent(load_constants, 8),
            reduce=indent(add_terms, 12),
            share=indent(machine.share(f"range({offset}, {offset + sums})", "totals"), 0),
            **machine.text,
        )
        return text.splitlines()

    def see_loss(slot: int, row: int) -> list[str]:
        # The sums of a memory lie behind those of the iterate, which the next step needs.
        offset = sums if slot else 0
        a = [f"totals[{offset + j}, lane - first]" for j in range(sums)]
        return [
            "_, part, _, _, totals = work",
            *(reduce_slot(slot, offset) if slot else []),
            "for lane in range(first, last):",
            f"    numbers[{row}, lane - first] = loss({', '.join([*a, 'data'])})",
        ]

    functions = {"reduce": reduce, "weigh": weigh, "gradient": gradient, "loss": loss}
    imports = [import_function(function, name) for name, function in functions.items()]
    template = HEADER + NOTICE_AND_START + _ADVANCE + machine.kernel
    share_totals = machine.share(f"range({sums})", "totals")
    share_sums = machine.share(f"range({len(parts.terms)})", "sums")
    return template.format(
        imports="\n".join([*imports, *parts.imports]),
        precision=precision,
        lanes=LANES,
        cache=parts.cacheable,
        group=GROUP,
        rows=len(parts.terms),
        sums=sums,
        extras=extras,
        load_start_coefficients=indent(
            [f"{name} = table[0, {column}]" for column, name in enumerate(table)], 4
        ),
        start=indent([*parts.start("h{}".format), *parts.add_terms()], 16),
        share_start=indent(share_sums, 4),
        finish_start=indent(["_, part, _, _, totals = work", *reduce_slot(0, 0)], 4),
        load_start_constants=indent(parts.load_constants(), 12),
        load_constants=indent(load_constants, 16),
        load_constants_deep=indent([*load_constants, *parts.load_constants()], 20),
        reduce=indent(add_terms, 20),
        reduce_deep=indent(add_terms, 24),
        load_table=indent([f"{name} = table[t, {j}]" for j, name in enumerate(table)], 12),
        weigh=indent(weigh_step, 16),
        load_state=indent(parts.load_state(), 24),
        step=indent(take_step, 24),
        store_state=indent(parts.store_state(), 24),
        wanted=parts.wanted("t + 1"),
        notice=NOTICE.format(time="t + 1", sums="sums"),
        share_group=indent(share_totals, 8),
        share_step=indent(share_totals, 12),
        share=indent(share_sums, 16),
        **machine.text,
        **parts.notice(0, see_loss),
    )
