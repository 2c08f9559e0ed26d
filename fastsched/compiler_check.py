"""Check that Numba compiles; imported before the rest of the package, which needs it."""

import sys
from pathlib import PurePath

import numba

_MESSAGE = (
    "Numba's compiler is turned off, and fastsched needs it: unset NUMBA_DISABLE_JIT (or "
    "disable_jit in .numba_config.yaml)"
)


def _is_command_line() -> bool:
    """Return whether this process runs the command `fastsched`."""
    return PurePath(sys.argv[0] if sys.argv else "").stem == "fastsched"


if numba.config.DISABLE_JIT:
    if _is_command_line():
        # The command imports the package before its own code can report errors.
        sys.exit(f"fastsched: {_MESSAGE}")
    raise ImportError(_MESSAGE)
