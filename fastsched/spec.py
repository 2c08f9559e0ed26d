"""Immutable descriptions: values that print themselves, compare, hash and go through TOML.

A study and everything it is made of (schedules, landscapes, optimizers, measures) is a
`Spec`: a frozen dataclass whose fields are numbers, strings, tuples, read-only arrays or
other specs.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import typing
from collections.abc import Mapping
from typing import Any, ClassVar, NoReturn, Self, TypeVar, dataclass_transform

import numpy as np

from fastsched.errors import FastschedError

_LONGEST_PRINTED_ARRAY = 1000
_T = TypeVar("_T")


@dataclass_transform(frozen_default=True)
def spec(cls: type[_T]) -> type[_T]:
    """Make a subclass of `Spec` a frozen dataclass (class decorator)."""
    return dataclasses.dataclass(frozen=True, eq=False, repr=False)(cls)


class Spec:
    """Base of all descriptions; subclasses are decorated with `spec`.

    A subclass normalises and checks its fields in `__post_init__` through `_set`.
    """

    registry: ClassVar[dict[str, type[Spec]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__name__.startswith("_"):
            return
        known = Spec.registry.setdefault(cls.__name__, cls)
        if known.__module__ != cls.__module__:
            raise FastschedError(
                f"{cls.__name__!r} is the name of a class of {known.__module__}: study files know "
                f"classes by their names, so give this one another"
            )
        Spec.registry[cls.__name__] = cls

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _fields(self) -> dict[str, Any]:
        # Not getattr: a field may have the name of a method (`Table(values)`, `s.values(steps)`).
        return {f.name: vars(self)[f.name] for f in dataclasses.fields(self)}  # type: ignore[arg-type]

    # Cached properties depend on what was asked of this instance, and may be large.
    def __getstate__(self) -> dict[str, Any]:
        cls = type(self)
        return {
            name: value
            for name, value in vars(self).items()
            if not isinstance(getattr(cls, name, None), functools.cached_property)
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Copies and pickles of read-only arrays can be written to.
        _protect(tuple(state.values()))
        self._set(**state)

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed, checked like a new one."""
        unknown = sorted(set(changes) - set(self._fields()))
        if unknown:
            raise FastschedError(
                f"{type(self).__name__} has no parameter {unknown[0]!r}; "
                f"it has {', '.join(self._fields())}"
            )
        return type(self)(**{**self._fields(), **changes})

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Spec):
            return NotImplemented
        return _canonical(self) == _canonical(other)

    def __hash__(self) -> int:
        return hash(_canonical(self))

    def __repr__(self) -> str:
        arguments = ", ".join(f"{k}={format_value(v)}" for k, v in self._fields().items())
        return f"{type(self).__name__}({arguments})"

    def to_dict(self) -> dict[str, Any]:
        """Return plain data (dicts, lists, numbers, strings) that `from_dict` reads back."""
        fields = {k: plain(v) for k, v in self._fields().items() if v is not None}
        return {"type": type(self).__name__, **fields}

    def digest(self) -> str:
        """Return a SHA-256 of the content, the same in every process and on every machine."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def from_dict(data: Any, kind: type[_T], where: str) -> _T:
    """Build a `kind` from what `Spec.to_dict` returned (or a person wrote in TOML).

    Parameters
    ----------
    data
        A mapping with the key `type` and the parameters of that type.
    kind
        The base class the result must be an instance of.
    where
        The place in the document, for error messages.

    Raises
    ------
    FastschedError
        Unknown type, unknown or missing parameter, or a bad value.
    """
    options = sorted(n for n, c in Spec.registry.items() if issubclass(c, kind) and _concrete(c))
    if not isinstance(data, Mapping) or not isinstance(data.get("type"), str):
        raise FastschedError(
            f"{where} must be a table with the key 'type', one of {', '.join(options)}; "
            f"got {data!r}"
        )
    name = data["type"]
    if name not in options:
        raise FastschedError(f"{where}.type = {name!r}: must be one of {', '.join(options)}")
    cls = Spec.registry[name]
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}  # type: ignore[arg-type]
    values = {key: value for key, value in data.items() if key != "type"}
    unknown = sorted(set(values) - set(fields))
    if unknown:
        raise FastschedError(
            f"{where} has the unknown key {unknown[0]!r}; {name} takes {', '.join(fields)}"
        )
    missing = [
        n
        for n, f in fields.items()
        if n not in values
        and f.default is dataclasses.MISSING
        and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise FastschedError(f"{where} lacks the key {missing[0]!r}, which {name} needs")
    hints = typing.get_type_hints(cls)
    fields_read = {k: parsed(v, _spec_of(hints[k]), f"{where}.{k}") for k, v in values.items()}
    try:
        return cls(**fields_read)  # type: ignore[return-value]
    except FastschedError as error:
        raise FastschedError(f"in {where}: {error}") from None


def refuse_text(value: Spec, why: str) -> NoReturn:
    """Raise that a description has no text form, and why."""
    raise FastschedError(f"{value!r} cannot be written as data or TOML, nor have a digest{why}")


def format_value(value: Any) -> str:
    """Return the text of a field: like `repr`, arrays as lists, long ones shortened."""
    if isinstance(value, np.ndarray):
        if value.size > _LONGEST_PRINTED_ARRAY:
            flat = value.ravel()
            shown = ", ".join(repr(float(x)) for x in (flat[0], flat[1], flat[2]))
            return f"<array of shape {value.shape}: {shown}, ..., {float(flat[-1])!r}>"
        return repr(value.tolist())
    return repr(value)


def _concrete(cls: type) -> bool:
    return dataclasses.is_dataclass(cls) and "__dataclass_params__" in vars(cls)


def _canonical(value: Any) -> Any:
    if isinstance(value, Spec):
        return (type(value), *(_canonical(v) for v in value._fields().values()))
    if isinstance(value, np.ndarray):
        return (value.shape, value.dtype.str, value.tobytes())
    if isinstance(value, tuple):
        return tuple(_canonical(v) for v in value)
    return value


def _protect(value: Any) -> None:
    """Make the arrays in nested tuples read-only."""
    if isinstance(value, np.ndarray):
        value.setflags(write=False)
    elif isinstance(value, tuple):
        for part in value:
            _protect(part)


def plain(value: Any) -> Any:
    """Return a field's value as plain data."""
    if isinstance(value, Spec):
        return value.to_dict()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, tuple):
        return [plain(v) for v in value]
    return value


def parsed(value: Any, kind: type[Spec] | None, where: str) -> Any:
    """Return a field's value from plain data, in which tables are descriptions of a kind."""
    if isinstance(value, Mapping):
        if kind is None:
            raise FastschedError(f"{where} = {value!r}: {where} must not be a table")
        return from_dict(value, kind, where)
    if isinstance(value, list):
        return [parsed(v, kind, f"{where}[{k}]") for k, v in enumerate(value)]
    return value


def _spec_of(hint: Any) -> type[Spec] | None:
    """Return the kind of description that a field's type admits, if any."""
    if isinstance(hint, type) and issubclass(hint, Spec):
        return hint
    found = (_spec_of(argument) for argument in typing.get_args(hint))
    return next((kind for kind in found if kind is not None), None)
