"""Datasets written to NetCDF files, with attributes that the format can hold."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastsched.errors import FastschedError, elided, reject

if TYPE_CHECKING:
    import xarray

_ALLOWED = "text, a number, or a list or an array of numbers or texts, for NetCDF to hold it"


def write_netcdf(data: xarray.Dataset, path: Path, group: str | None = None) -> None:
    """Write a dataset to a new file, or to a group that is added to a file.

    Parameters
    ----------
    data : xarray.Dataset
    path : Path
    group : str, optional

    Raises
    ------
    FastschedError
        NetCDF cannot hold an attribute or a variable.
    """
    data = data.copy()
    data.attrs = _attributes("data.attrs", data.attrs)
    for name in data.variables:
        data[name].attrs = _attributes(f"data[{name!r}].attrs", data[name].attrs)
    try:
        data.to_netcdf(path, mode="a" if group else "w", group=group, engine="h5netcdf")
    except (TypeError, ValueError) as error:
        text = elided(str(error), 300, 200, 80)
        raise FastschedError(f"data: NetCDF cannot hold a variable or attribute: {text}") from None


def _attributes(where: str, attributes: dict[Any, Any]) -> dict[str, Any]:
    """Return attributes as NetCDF has them, or refuse one by its name."""
    for key in attributes:
        if not isinstance(key, str) or not key or "\0" in key:
            reject(f"{where} key", key, "a non-empty str")
    return {key: _attribute(f"{where}[{key!r}]", value) for key, value in attributes.items()}


def _attribute(name: str, value: Any) -> Any:
    if isinstance(value, str):
        if "\0" in value:
            reject(name, value, "text without NUL characters")
        return str(value)
    if not isinstance(value, (int, float, complex, np.number, np.bool_, list, tuple, np.ndarray)):
        reject(name, value, _ALLOWED)
    try:
        numbers = np.asarray(value)
    except ValueError:  # lists of unequal lengths
        reject(name, value, _ALLOWED)
    if numbers.dtype.kind == "b":
        numbers = numbers.astype(np.int8)
    texts = numbers.dtype.kind == "U" and numbers.ndim == 1
    if texts and all(isinstance(text, str) for text in list(value)):  # type: ignore[arg-type]
        return [_attribute(name, text) for text in numbers.tolist()]
    if numbers.dtype.kind not in "iufc" or numbers.ndim > 1:
        reject(name, value, _ALLOWED)
    return numbers if numbers.ndim else numbers.item()
