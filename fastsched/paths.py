"""Fields of a study by dotted path: `"optimizer.lr.initial"`, `"measures.0.level"`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from fastsched.errors import FastschedError, elided, reject
from fastsched.spec import Spec, format_value

# Characters of a value in labels and messages.
_LONGEST = 80


def changed(value: Any, changes: Mapping[str, Any], where: str = "") -> Any:
    """Return a description with fields changed, all at once.

    Parameters
    ----------
    value : Spec or tuple
    changes : mapping
        New values by dotted path.
    where : str, default ""
        The place of the description in the study, for messages; by default it is the study.

    Raises
    ------
    FastschedError
        A field is not there, or the changed description is not allowed.
    """
    below: dict[str, dict[str, Any]] = {}
    direct: dict[str, Any] = {}
    for path, new in changes.items():
        head, _, rest = path.partition(".")
        if rest:
            below.setdefault(head, {})[rest] = new
        else:
            direct[head] = new
    fields = _parts(value, where, next(iter(changes)))
    for head in {**below, **direct}:
        if head not in fields:
            _refuse_field(value, head, where)
    for head, deeper in below.items():
        place = f"{where}.{head}" if where else head
        direct[head] = changed(direct.get(head, fields[head]), deeper, place)
    if isinstance(value, tuple):
        return tuple(direct.get(str(k), part) for k, part in enumerate(value))
    return value.replace(**direct)


def _parts(value: Any, where: str, path: str) -> dict[str, Any]:
    if isinstance(value, Spec):
        return value._fields()
    if isinstance(value, tuple):
        return {str(k): part for k, part in enumerate(value)}
    raise FastschedError(f"{where} is {brief(value)}, which has no parameter {path!r}")


def value_at(study: Spec, path: str) -> Any:
    """Return the field of a study at a dotted path.

    Raises
    ------
    FastschedError
        There is none, or the path is no text.
    """
    if not isinstance(path, str):
        reject("path", path, 'a field of the study, e.g. "optimizer.lr"')
    value: Any = study
    where = ""
    for part in path.split("."):
        fields = _parts(value, where, part)
        if part not in fields:
            _refuse_field(value, part, where)
        value = fields[part]
        where = f"{where}.{part}" if where else part
    return value


def _refuse_field(value: Any, name: str, where: str) -> NoReturn:
    place = f"{where or 'the study'} ({type(value).__name__})"
    raise FastschedError(f"{place} has no {name!r}; it has {', '.join(_parts(value, where, name))}")


def brief(value: Any) -> str:
    """Return the text of a value, its middle left out where it is long."""
    text = value if isinstance(value, str) else format_value(value)
    return elided(text, _LONGEST, _LONGEST // 2, _LONGEST // 2)
