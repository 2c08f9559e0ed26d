"""A folder that keeps the finished blocks of a study or sweep."""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsched.errors import FastschedError, reject
from fastsched.files import check_folder, path_like, replacing
from fastsched.measures.base import Partial
from fastsched.plan import Block
from fastsched.study import Study
from fastsched.sweep import Sweep, read

_FORMAT = 3
_STUDY, _ABOUT, _LOCK = "study.toml", "store.json", "lock"

# Bytes of SHA-256.
_DIGEST = 32


class Store:
    """The finished blocks of a study or sweep, a file each.

    A file is a checksum and a NumPy archive. It is written under another name and renamed once it
    is whole: a run that is killed at any moment leaves whole files, and a damaged one is found
    when it is read.

    Parameters
    ----------
    folder : Path
        Where the files are.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._larger: set[int] = set()

    def load(self, block: Block) -> list[Partial] | None:
        """Return a block's statistics; None where it is not there, damaged, or of another size."""
        path = self._path(block)
        if not path.exists():
            return None
        content = path.read_bytes()
        digest, archive = content[:_DIGEST], content[_DIGEST:]
        if digest != hashlib.sha256(archive).digest():
            warnings.warn(
                f"store: {path.name} is damaged: its trajectories are run again",
                RuntimeWarning,
                stacklevel=2,
            )
            return None
        with np.load(io.BytesIO(archive), allow_pickle=False) as file:
            first_tile, count, number = file["block"].tolist()
            partials = _unpacked(file, number)
        if count > block.count:
            self._larger.add(block.first_tile)
        return partials if (first_tile, count) == (block.first_tile, block.count) else None

    def save(self, block: Block, partials: list[Partial]) -> None:
        """Write a block's statistics, unless more of its trajectories are there.

        Raises
        ------
        FastschedError
            The file cannot be written, e.g. on a full disk; the others are as they were.
        """
        if block.first_tile in self._larger:
            return
        about = np.array([block.first_tile, block.count, len(partials)])
        archive = io.BytesIO()
        np.savez_compressed(archive, block=about, **_packed(partials))
        with _writing(self._path(block)) as file:
            file.write(hashlib.sha256(archive.getbuffer()).digest())
            file.write(archive.getbuffer())

    def _path(self, block: Block) -> Path:
        return self._folder / f"{block.first_tile:012d}.block"


def _packed(partials: list[Partial]) -> dict[str, Any]:
    """Return the arrays of all partials, those of a name and type end to end, with their shapes.

    A sweep has thousands of partials, and an archive of so many arrays is slow.
    """
    parts: dict[str, list[NDArray[Any]]] = {}
    places: dict[str, list[list[int]]] = {}
    for k, partial in enumerate(partials):
        for name, values in partial.items():
            key = f"{name}.{values.dtype.str}"
            parts.setdefault(key, []).append(values.ravel())
            places.setdefault(key, []).append([k, *values.shape])
    flat = {f"values.{key}": np.concatenate(values) for key, values in parts.items()}
    return flat | {f"places.{key}": _rectangular(rows) for key, rows in places.items()}


def _rectangular(rows: list[list[int]]) -> NDArray[np.int64]:
    """Return number and shape of each array, with -1 where it has fewer dimensions."""
    width = max(map(len, rows))
    return np.array([[*row, *[-1] * (width - len(row))] for row in rows], np.int64)


def _unpacked(archive: Mapping[str, NDArray[Any]], number: int) -> list[Partial]:
    """Return what `_packed` was given."""
    partials: list[Partial] = [{} for _ in range(number)]
    for key in archive:
        if not key.startswith("places."):
            continue
        _, name, kind = key.split(".")
        values = archive[f"values.{name}.{kind}"]
        begin = 0
        for k, *shape in archive[key].tolist():
            sizes = [size for size in shape if size >= 0]
            end = begin + math.prod(sizes)
            partials[k][name] = values[begin:end].reshape(sizes)
            begin = end
    return partials


@contextmanager
def opened(folder: str | os.PathLike[str], asked: Study | Sweep, division: str) -> Iterator[Store]:
    """Open the store of a study or sweep, or make one; no other run can, until it is closed.

    Parameters
    ----------
    folder : path-like
        A store, an empty folder, or the name of a new one.
    asked : Study or Sweep
        Its number of trajectories may differ from that of the store.
    division : str
        The machine, and how it divides the trajectories into blocks.

    Raises
    ------
    FastschedError
        It is no such folder, holds another study or blocks of another machine, is in use, or
        cannot be written; or the study has no text form.
    """
    import filelock

    path = path_like("store", folder)
    text = asked.to_toml()
    if path.exists() and not path.is_dir():
        reject("store", str(path), "the name of a folder")
    check_folder("store", path)
    try:
        path.mkdir(exist_ok=True)
        if not (path / _ABOUT).exists() and not all(map(_is_own, os.listdir(path))):
            reject("store", str(path), "a store of fastsched, or an empty folder")
        lock = filelock.FileLock(path / _LOCK)
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise FastschedError(f"store = {str(path)!r}: another run is writing to it") from None
    except OSError as error:
        raise FastschedError(f"store = {str(path)!r}: {error}") from None
    try:
        for leftover in path.glob("*.tmp"):
            leftover.unlink(missing_ok=True)
        _check(path, asked, division)
        with _writing(path / _STUDY) as file:
            file.write(text.encode())
        about = {"format": _FORMAT, "division": division}
        with _writing(path / _ABOUT) as file:
            file.write(json.dumps(about).encode())
        yield Store(path)
    finally:
        lock.release()


def _is_own(name: str) -> bool:
    """Return whether a file is one of a store that is being made."""
    unfinished = name.startswith((f".{_STUDY}.", f".{_ABOUT}.")) and name.endswith(".tmp")
    return unfinished or name in (_STUDY, _LOCK)


def _check(path: Path, asked: Study | Sweep, division: str) -> None:
    """Refuse a store of another study or another division."""
    if not (path / _ABOUT).exists():
        return
    try:
        about = json.loads((path / _ABOUT).read_text(encoding="utf-8"))
        stored = read((path / _STUDY).read_text(encoding="utf-8"))
        version, stored_division = about["format"], about["division"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FastschedError(f"store = {str(path)!r}: it is damaged ({error})") from None
    a, b = ({**study.to_dict(), "trajectories": 1} for study in (asked, stored))
    differing = ", ".join(key for key in {**a, **b} if a.get(key) != b.get(key))
    if differing:
        raise FastschedError(
            f"store = {str(path)!r}: it holds another study, which differs in {differing}: give "
            f"another folder"
        )
    if version != _FORMAT:
        raise FastschedError(
            f"store = {str(path)!r}: another version of fastsched made it: give another directory"
        )
    if stored_division != division:
        raise FastschedError(
            f"store = {str(path)!r}: its blocks are of {stored_division}, those of this run of "
            f"{division}: give another folder"
        )


@contextmanager
def _writing(path: Path) -> Iterator[Any]:
    """Open a file that takes the place of `path` once all of it is on the disk."""
    try:
        with replacing(path) as temporary, open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise FastschedError(
            f"store = {str(path.parent)!r}: {path.name} cannot be written ({error}); what was "
            f"written before is intact"
        ) from None
