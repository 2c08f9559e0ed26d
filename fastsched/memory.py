"""The machine's memory, asked before anything is allocated."""

from __future__ import annotations

import os

from fastsched.errors import FastschedError


def require_memory(needed: int, lower: str) -> None:
    """Check that a number of bytes fits into this machine.

    Parameters
    ----------
    needed : int
        Bytes.
    lower : str
        The settings that lower it, for the message.

    Raises
    ------
    FastschedError
        The machine has less memory.
    """
    try:
        available = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # no sysconf on Windows
        return
    if needed > available:
        raise FastschedError(
            f"the study needs {needed / 2**30:.1f} GiB and this machine has "
            f"{available / 2**30:.1f} GiB: lower {lower}"
        )
