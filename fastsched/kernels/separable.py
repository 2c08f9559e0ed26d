"""The loop of landscapes whose gradient of a coordinate needs that coordinate only.

Four steps of a coordinate are taken in one visit: its state is loaded once, and the four
normals come from one Philox block. What the measures see are sums over coordinates.

A visit copies the state into the array of the terms and works there: LLVM makes vector code of a
loop only if a few comparisons of addresses can show that what it writes is not what it reads, and
within one array none are needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastsched.kernels.body import GROUP, HEADER, NOTICE, NOTICE_AND_START, Machine
from fastsched.kernels.parts import Parts, import_function, indent
from fastsched.kernels.probe import Probe
from fastsched.kernels.reduce import LANES

_ADVANCE = """\
        t = {group} * group
{load_table}
        for k in range({group_rows}):
            for lane in range(first, last):
                sums[k, lane - first] = 0
        for chunk in {chunks}:
            for k in range({group_rows}):
                for lane in range(first, last):
                    terms[k * width + lane - first] = 0
            for i in {coordinates}:
{load_constants_deep}
{visits}
            for k in range({group_rows}):
                for lane in range(first, last):
                    sums[k, lane - first] += terms[k * width + lane - first]
        for k in range(min({group}, steps - t)):
            if {wanted}:
{share}
                {notice}
"""

_VISIT = """\
{load}
for lane in range(first, last):
{load_state}
    {normals} = normals(
        np.uint32(i), np.uint32(group), np.uint32(trajectory + lane), _NOISE, keys
    )
{steps}
{store_state}
{store}
"""


def separable_source(
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
    """Return the source of the kernel module.

    Parameters
    ----------
    gradient, loss, update
        Device functions of the landscape and the optimizer; like those of the probes, they are
        globals of importable modules.
    constants, slots, coefficients : int
        The landscape's constants, the optimizer's numbers of state, and the columns of its
        table, for one coordinate or step.
    probes : sequence of Probe
        What the measures ask for.
    precision : {"single", "double"}
    machine : Machine
    """
    parts = Parts(update, slots, coefficients, 1, constants, probes)
    imports = [import_function(gradient, "gradient"), import_function(loss, "loss")]
    c = [f"c{j}" for j in range(constants)]
    z = [f"z{k}" for k in range(GROUP)]
    rows = sum_rows(parts)
    table = [(k, column, f"h{k}_{column}") for k in range(GROUP) for column in range(parts.columns)]
    load_constants = [f"{name} = constants[{j}, i]" for j, name in enumerate(["origin", *c])]
    load_constants += parts.load_constants()

    def add_terms(k: int) -> list[str]:
        losses = [
            f"terms[{k * rows + m} * width + lane - first] += loss({', '.join([point, *c])})"
            for m, point in enumerate(parts.points)
        ]
        return losses + parts.add_terms(k * rows + len(losses))

    def see_loss(slot: int, row: int) -> list[str]:
        m = parts.points.index(parts.state[slot])
        return [
            "for lane in range(first, last):",
            f"    numbers[{row}, lane - first] = sums[{m}, lane - first]",
        ]

    def visit(everywhere: bool) -> list[str]:
        places = {
            name: (f"terms[{GROUP * rows + j} * width + lane - first]", f"state[{j}, i, lane]")
            for j, name in enumerate(parts.state)
            if not everywhere or name not in parts.confined
        }
        steps = []
        for k in range(GROUP):
            steps.append(f"g = gradient(x, z{k}, h{k}_0, {', '.join(c)})")
            steps += parts.step(f"h{k}_{{}}".format, everywhere)
            steps += add_terms(k)
        lanes = "for lane in range(first, last): "
        text = _VISIT.format(
            load="\n".join(f"{lanes}{here} = {there}" for here, there in places.values()),
            load_state=indent([f"{name} = {here}" for name, (here, _) in places.items()], 4),
            normals=", ".join(z),
            steps=indent(steps, 4),
            store_state=indent([f"{here} = {name}" for name, (here, _) in places.items()], 4),
            store="\n".join(f"{lanes}{there} = {here}" for here, there in places.values()),
        )
        return text.splitlines()

    visits = visit(False)
    if parts.confined:
        looked_at = f"constants[{1 + constants + len(parts.constants)}, i] != 0"
        branches = {f"if {looked_at}:": visits, "else:": visit(True)}
        visits = [s for head, body in branches.items() for s in (head, *(f"    {b}" for b in body))]
    start = parts.start(lambda column: f"h{column}")
    template = HEADER + NOTICE_AND_START + _ADVANCE + machine.kernel
    return template.format(
        imports="\n".join([*imports, *parts.imports]),
        precision=precision,
        lanes=LANES,
        cache=parts.cacheable,
        group=GROUP,
        rows=rows,
        group_rows=GROUP * rows,
        load_start_coefficients=indent(
            [f"h{column} = table[0, {column}]" for column in range(parts.columns)], 4
        ),
        load_start_constants=indent(load_constants, 12),
        load_constants_deep=indent(load_constants, 16),
        start=indent(start + add_terms(0), 16),
        share_start=indent(machine.share(f"range({rows})", "sums"), 4),
        finish_start="",
        load_table=indent([f"{name} = table[t + {k}, {col}]" for k, col, name in table], 8),
        visits=indent(visits, 16),
        wanted=parts.wanted("t + k + 1"),
        notice=NOTICE.format(time="t + k + 1", sums=f"sums[{rows} * k:{rows} * k + {rows}]"),
        share=indent(machine.share(f"range({rows} * k, {rows} * k + {rows})", "sums"), 16),
        **machine.text,
        **parts.notice(len(parts.points), see_loss),
    )


def sum_rows(parts: Parts) -> int:
    """Return how many sums a step has: losses, and those of the probes."""
    return len(parts.points) + len(parts.terms)
