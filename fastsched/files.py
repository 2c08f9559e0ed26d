"""Files that are written as a whole or not at all."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from fastsched.errors import reject


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
