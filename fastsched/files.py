"""Files that are written as a whole or not at all."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fastsched.errors import reject

RESULT_ENDINGS = (".nc", ".nc4", ".netcdf", ".h5", ".cdf")
"""Endings of the names of NetCDF files."""

REPORT_ENDINGS = (".html", ".htm")
"""Endings of the names of reports."""


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the name of a new file, which takes the place of `path` once it is written."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def path_like(name: str, value: Any) -> Path:
    """Return `value` as a path: a non-empty str or an `os.PathLike` of one, without NUL."""
    text = os.fspath(value) if isinstance(value, (str, os.PathLike)) else value
    if not isinstance(text, str) or not text or "\0" in text:
        reject(name, value, "a path: a non-empty str or an os.PathLike, e.g. pathlib.Path")
    return Path(text)


def new_file(name: str, value: Any, endings: Sequence[str] = ()) -> Path:
    """Return the path of a file to be written.

    Parameters
    ----------
    name : str
        What messages call it.
    value : path-like
    endings : sequence of str, default ()
        With the dot: what its name may end in besides nothing; any ending if there are none.

    Raises
    ------
    FastschedError
        It is no path, a folder, in a folder that does not exist, or has another ending.
    """
    path = path_like(name, value)
    if path.is_dir() or not path.name:
        reject(name, str(path), "the name of a file, not of a folder")
    if endings and path.suffix and path.suffix.lower() not in endings:
        reject(name, str(path), f"a name without an ending or with one of {', '.join(endings)}")
    check_folder(name, path)
    return path


def check_folder(name: str, path: Path) -> None:
    """Check that the folder exists in which `path` lies."""
    if not path.resolve().parent.is_dir():
        reject(name, str(path), f"in a folder that exists; {path.parent} does not exist")
