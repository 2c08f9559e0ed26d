"""Text files in several encodings, and files written atomically."""

from __future__ import annotations

import codecs
import contextlib
import os
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fastsched.errors import FastschedError, reject

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


def read_text(name: str, path: Path, hint: str = "") -> str:
    """Return the text of a file in UTF-8 or UTF-16, without its byte-order mark.

    UTF-16 needs the mark, which PowerShell's `>` writes. Line ends become newlines.

    Parameters
    ----------
    name : str
        The parameter that the file is, for messages.
    path : Path
    hint : str, default ""
        Ends the message that the file is binary.

    Raises
    ------
    FastschedError
        The file is binary or in another encoding.
    OSError
        The file cannot be read.
    """
    data = path.read_bytes()
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        if not wide and b"\0" not in data:
            at = error.start + len(data) - len(error.object)  # the mark counts
            raise FastschedError(
                f"{name} = {str(path)!r}: the text is not UTF-8 or UTF-16: byte 0x{data[at]:02x} "
                f"at position {at}; save it as UTF-8"
            ) from None
        text = "\0"
    if "\0" in text:
        raise FastschedError(f"{name} = {str(path)!r}: this is not a text file{hint}")
    return text.replace("\r\n", "\n").replace("\r", "\n")
