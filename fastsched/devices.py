"""Which machine runs a study or sweep: the processor, or GPUs."""

from __future__ import annotations

import functools
import importlib.util
import platform
from collections.abc import Sequence
from typing import Any

import llvmlite.binding
import numba

from fastsched.errors import FastschedError, choice, integer, items, reject

DEVICES = ("auto", "cpu", "cuda")


def chosen_gpus(device: str, devices: Sequence[int] | None) -> tuple[int, ...]:
    """Return the numbers of the GPUs to use, none for the processor.

    Raises
    ------
    FastschedError
        A parameter is not allowed, or a GPU that was asked for is not there.
    """
    choice("device", device, DEVICES)
    if devices is not None and device == "cpu":
        reject("devices", devices, 'left out where device is "cpu"')
    if device == "cpu" or (device == "auto" and devices is None and not _gpu_at_hand()):
        return ()
    found = _found_gpus()
    if isinstance(found, str):
        raise FastschedError(
            f'device = "cuda" needs an NVIDIA GPU with its driver, and numba-cuda (pip install '
            f'"numba-cuda[cu13]"): {found}; or use device="cpu"'
        )
    if devices is None:
        return (0,)
    allowed = f"a list of different numbers of GPUs, of which there are {found}"
    given = items("devices", devices, allowed)
    numbers = tuple(integer("devices", k, minimum=0, maximum=found - 1) for k in given)
    if not numbers or len(set(numbers)) < len(numbers):
        reject("devices", devices, allowed)
    return numbers


def machine(gpus: int) -> str:
    """Return this machine, and how many of its GPUs a run takes, as text."""
    used = f"{gpus} GPU{'s' if gpus > 1 else ''}" if gpus else f"{numba.get_num_threads()} threads"
    return f"{platform.platform()}, {llvmlite.binding.get_host_cpu_name()}, {used}"


def _gpu_at_hand() -> bool:
    """Return whether there is a GPU; the simulator of one is slow, and only used when asked for."""
    if importlib.util.find_spec("numba_cuda") is None:
        return False
    from numba import config

    return not config.ENABLE_CUDASIM and isinstance(_found_gpus(), int)


@functools.cache
def _found_gpus() -> int | str:
    """Return how many GPUs there are, or why none can be used."""
    from numba import config

    if config.ENABLE_CUDASIM:
        return 1
    if importlib.util.find_spec("numba_cuda") is None:
        return "numba-cuda is not installed"
    from numba import cuda

    try:
        number = len(cuda.gpus)
        if number:
            cuda.compile_ptx_for_current_device(_nothing, ())
    except Exception as error:  # of the driver, the compiler's packages, or their versions
        reason: Any = " ".join(str(error).split()).rstrip(" :")
        return f"{type(error).__name__}: {reason}"
    return number or "the driver finds no GPU"


def _nothing() -> None:
    pass
