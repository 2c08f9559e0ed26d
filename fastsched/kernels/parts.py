"""What the optimizer and the probes bring into a generated loop, as text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsched.kernels.probe import LOSS, Probe, View


class Parts:
    """The names of a generated loop's variables, and the text of what the probes do in it.

    Parameters
    ----------
    update, slots, coefficients
        The optimizer's device function, its numbers of state, and its columns of the table.
    landscape_columns, landscape_constants : int
        Columns of the table and constants of a coordinate that come before.
    probes : sequence of Probe

    Attributes
    ----------
    state : list of str
        Displacement, optimizer's state, memories.
    points : list of str
        Those of them whose loss the probes see.
    terms : list of str
        The terms of the probes' sums.
    columns : int
        Columns of the table.
    own_columns : range
        Those of the optimizer and the probes.
    constants : list of str
        The probes' constants of a coordinate.
    confined : list of str
        The memories of the probes that look at their axes only.
    """

    def __init__(
        self,
        update: Any,
        slots: int,
        coefficients: int,
        landscape_columns: int,
        landscape_constants: int,
        probes: Sequence[Probe],
    ) -> None:
        self.probes = probes
        self._own = ["x", *(f"v{j}" for j in range(slots))]
        self._memories = _named("w", [len(p.memories) for p in probes])
        self._terms = _named("s", [p.terms for p in probes])
        self._constants = _named("p", [p.constant_rows for p in probes])
        self.state = [*self._own, *_flat(self._memories)]
        self.terms = _flat(self._terms)
        self.confined = _flat(
            [names for p, names in zip(probes, self._memories, strict=True) if p.confined]
        )
        self.constants = _flat(self._constants)
        self._first_constant = 1 + landscape_constants
        begin = landscape_columns
        self.update_columns = range(begin, begin + coefficients)
        begin += coefficients
        self._columns = []
        for p in probes:
            self._columns.append(range(begin, begin + p.columns))
            begin += p.columns
        self.columns = begin
        self.own_columns = range(landscape_columns, begin)
        self.numbers = Numbers(probes)
        seen = [self._point(j, memory) for j, view, memory, _ in self.numbers.seen if view == LOSS]
        self.points = list(dict.fromkeys(seen))
        self.imports = [import_function(update, "update")]
        for j, p in enumerate(probes):
            if p.coordinate_function is not None:
                self.imports.append(import_function(p.coordinate_function, f"coordinate{j}"))
            if p.event_function is not None:
                self.imports.append(import_function(p.event_function, f"event{j}"))
        for v, view in enumerate(self.numbers.views):
            self.imports.append(import_function(view.function, f"view{v}"))

    @property
    def cacheable(self) -> bool:
        """Whether the probes let the kernel be kept on disk."""
        return all(view.cacheable for view in self.numbers.views)

    def wanted(self, time: str) -> str:
        """Return the condition on which the measures want to see the iterate of a time."""
        every = any(p.event_function is not None and not p.at_records for p in self.probes)
        if every or any(reading.lag for p in self.probes for reading in p.readings):
            return "True"
        return f"ledger.record_at[0, {time}] >= 0 or {time} == steps"

    def _point(self, probe: int, memory: int | None) -> str:
        return "x" if memory is None else self._memories[probe][memory]

    def load_constants(self) -> list[str]:
        """Return statements that load the probes' constants of coordinate i."""
        return [
            f"{name} = constants[{self._first_constant + k}, i]"
            for k, name in enumerate(self.constants)
        ]

    def step(self, column: Callable[[int], str], everywhere: bool = False) -> list[str]:
        """Return statements that take a step: `g` is the gradient, `origin` the origin.

        Parameters
        ----------
        column : function
            From the number of a column of the table to the name of its value.
        everywhere : bool
            Whether only those probes take part that look at all coordinates.
        """
        met = "v0" if len(self._own) > 1 else "zero"
        arguments = [*self._own, "origin", "g", *map(column, self.update_columns)]
        lines = ["zero = origin - origin", "before = x", f"met = {met}"]
        lines.append(f"{tuple_text(self._own)} = update({', '.join(arguments)})")
        for j, probe in enumerate(self.probes):
            if not (everywhere and probe.confined):
                lines += self._coordinate(j, ["before", "x", "g", "met"], column)
        return lines

    def start(self, column: Callable[[int], str]) -> list[str]:
        """Return statements that begin a coordinate's state where its displacement is x."""
        lines = [f"{name} = zero" for name in self._own[1:]]
        for names, probe in zip(self._memories, self.probes, strict=True):
            begins = zip(names, probe.memories, strict=True)
            lines += [f"{n} = x" if b is None else f"{n} = type(x)({b})" for n, b in begins]
        for j in range(len(self.probes)):
            lines += self._coordinate(j, ["x", "x", "zero", "zero"], column)
        return lines + self.store_state()

    def _coordinate(self, j: int, seen: list[str], column: Callable[[int], str]) -> list[str]:
        if self.probes[j].coordinate_function is None:
            return []
        arguments = [*seen, *self._memories[j], *self._constants[j]]
        arguments += map(column, self._columns[j])
        names = self._memories[j] + self._terms[j]
        return [f"{tuple_text(names)} = coordinate{j}({', '.join(arguments)})"]

    def load_state(self) -> list[str]:
        """Return statements that load the state of coordinate i of a lane."""
        return [f"{name} = state[{j}, i, lane]" for j, name in enumerate(self.state)]

    def store_state(self) -> list[str]:
        """Return statements that store it."""
        return [f"state[{j}, i, lane] = {name}" for j, name in enumerate(self.state)]

    def add_terms(self, first_row: int = 0) -> list[str]:
        """Return statements that add a coordinate's terms to their sums."""
        return [
            f"terms[{first_row + k} * width + lane - first] += {name}"
            for k, name in enumerate(self.terms)
        ]

    def notice(
        self, first_sum: int, loss: Callable[[int, int], Sequence[str]], work: str = "()"
    ) -> dict[str, str]:
        """Return the text of `notice`.

        Parameters
        ----------
        first_sum : int
            The row of the sums where those of the probes begin.
        loss : function
            From a slot of the state and the number of a row to statements that write the loss at
            that slot to that row of the numbers.
        work : str
            The landscape's work space, for views.
        """
        watch: list[str] = []
        look: list[str] = []
        for row, (j, view, memory, always) in enumerate(self.numbers.seen):
            slot = self.state.index(self._point(j, memory))
            if isinstance(view, View):
                v = self.numbers.views.index(view)
                lines = [
                    f"view{v}(first, last, {slot}, state, origin, data, {work}, own[{v}], "
                    f"spaces[{v}], numbers[{row}:{row + 1}])"
                ]
            else:
                lines = list(loss(slot, row))
            (watch if always else look).extend(lines)
        events: list[str] = []
        record_events: list[str] = []
        sums = iter(range(first_sum, first_sum + len(self.terms)))
        for j, p in enumerate(self.probes):
            rows = [next(sums) for _ in range(p.terms)]
            if p.event_function is not None:
                (record_events if p.at_records else events).extend(self._event(j, rows))
        loaded = sorted({c for j in range(len(self.probes)) for c in self._columns[j]})
        return {
            "load_coefficients": indent(
                [f"h{c} = table[max(time - 1, 0), {c}]" for c in loaded], 4
            ),
            "watch": indent(watch, 4),
            "look": indent(look or ["pass"], 8),
            "events": indent(events or ["pass"], 8),
            "record_events": indent(record_events or ["pass"], 12),
            "leave": indent(self._leave(), 8),
        }

    def _leave(self) -> list[str]:
        """Return statements that end the loop over groups once all lanes are settled."""
        rows = [
            first + p.settled
            for p, first in zip(self.probes, self.numbers.registers, strict=True)
            if p.settled is not None and not p.readings
        ]
        if len(rows) < len(self.probes):
            return []
        moving = " or ".join(f"numbers[{row}, lane - first] < 0" for row in rows)
        return [
            "moving = False",
            "for lane in range(first, last):",
            f"    moving |= ({moving})",
            "if not moving:",
            "    break",
        ]

    def _event(self, j: int, sums: Sequence[int]) -> list[str]:
        p, numbers = self.probes[j], self.numbers
        registers = [
            f"numbers[{numbers.registers[j] + r}, lane - first]" for r in range(len(p.registers))
        ]
        arguments = ["now"]
        arguments += [f"numbers[{row}, lane - first]" for row in numbers.watched[j]]
        arguments += [f"sums[{row}, lane - first]" for row in sums]
        arguments += [*registers, *(f"h{c}" for c in self._columns[j])]
        names = [f"r{r}" for r in range(len(registers))]
        if p.tally:
            names.append("count")
        lines = [f"{tuple_text(names)} = event{j}({', '.join(arguments)})"]
        lines += [f"{target} = {name}" for target, name in zip(registers, names, strict=False)]
        if p.tally:
            lines += [
                "if count >= 0:",
                f"    numbers[{numbers.tallies[j]} + np.int64(count), lane - first] += 1",
            ]
        return lines


class Numbers:
    """The rows of a tile's numbers: what the probes see, their registers, their tallies.

    Attributes
    ----------
    seen : list of (probe, view, memory, bool)
        Loss or view, of the iterate or a memory, and whether it is wanted after every step; the
        first rows.
    views : list of View
        In the order of the kernel's arguments.
    watched : list of lists of int
        The rows that each probe's event sees.
    registers, tallies : lists of int
        The first of each probe's rows.
    readings : list of (row, lag)
    losses : int
        How many of the rows seen are losses.
    rows : int
    """

    def __init__(self, probes: Sequence[Probe]) -> None:
        self.seen: list[tuple[int, Any, int | None, bool]] = []
        self.watched: list[list[int]] = []
        keys: dict[Any, int] = {}

        def see(probe: int, view: Any, memory: int | None, always: bool) -> int:
            key = (view, None if memory is None else (probe, memory))
            row = keys.setdefault(key, len(self.seen))
            if row == len(self.seen):
                self.seen.append((probe, view, memory, always))
            elif always:
                self.seen[row] = (*self.seen[row][:3], True)
            return row

        for j, p in enumerate(probes):
            self.watched.append([see(j, view, None, not p.at_records) for view in p.watched])
        sources = [
            (j, reading, reading.source)
            if isinstance(reading.source, int)
            else (j, reading, see(j, reading.source, reading.memory, False))
            for j, p in enumerate(probes)
            for reading in p.readings
        ]
        self.views = list(dict.fromkeys(v for _, v, _, _ in self.seen if isinstance(v, View)))
        self.losses = sum(view == LOSS for _, view, _, _ in self.seen)
        row = len(self.seen)
        self.registers, self.tallies = [], []
        for p in probes:
            self.registers.append(row)
            self.tallies.append(row + len(p.registers))
            row += len(p.registers) + p.tally
        self.rows = row
        self.readings = [
            (self.registers[j] + k if isinstance(reading.source, int) else k, reading.lag)
            for j, reading, k in sources
        ]

    def initial(self, probes: Sequence[Probe]) -> NDArray[np.float64]:
        """Return how the numbers begin, shape (rows,)."""
        values = np.zeros(self.rows)
        for row, p in zip(self.registers, probes, strict=True):
            values[row : row + len(p.registers)] = p.registers
        return values

    def kept(self, probes: Sequence[Probe], own_slots: int) -> NDArray[np.int64]:
        """Return what is kept after the last step, as `Ledger.kept`."""
        kept: list[tuple[int, int]] = []
        slot = own_slots
        for j, p in enumerate(probes):
            kept += [(-1, self.registers[j] + r) for r in p.finals]
            kept += [(-1, self.tallies[j] + r) for r in range(p.tally)]
            for _ in p.memories:
                kept += [(slot, int(axis)) for axis in p.axes]
                slot += 1
        return np.array(kept, dtype=np.int64).reshape(-1, 2)


def _named(letter: str, counts: Sequence[int]) -> list[list[str]]:
    return [[f"{letter}{j}_{k}" for k in range(count)] for j, count in enumerate(counts)]


def _flat(names: Sequence[Sequence[str]]) -> list[str]:
    return [name for group in names for name in group]


def tuple_text(names: Iterable[str]) -> str:
    """Return the text of a tuple of names or expressions."""
    return "(" + "".join(f"{name}, " for name in names) + ")"


def import_function(function: Any, name: str) -> str:
    """Return the statement that imports a device function, a global of its module."""
    return f"from {function.py_func.__module__} import {function.py_func.__name__} as {name}"


def indent(lines: Sequence[str], depth: int) -> str:
    """Return the lines as text, each after `depth` blanks."""
    return "\n".join(" " * depth + line for line in lines)
