"""Text files in several encodings, and files written atomically."""

from __future__ import annotations

import codecs
import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from fastsched.errors import FastschedError, reject


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


def check_writable(name: str, path: Path) -> None:
    """Check that `path` can name a new file: its folder exists, and it is no folder itself."""
    if path.is_dir() or not path.name:
        reject(name, str(path), "the name of a file, not of a folder")
    check_folder(name, path)


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
