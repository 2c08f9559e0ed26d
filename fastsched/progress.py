"""Progress bars for long calls, on terminals and in notebooks."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, NamedTuple

_DELAY = 0.5  # seconds before a bar appears
_PERCENT = "{percentage:3.0f}%|{bar}| [{elapsed}<{remaining}{postfix}]"


class Bar(NamedTuple):
    """A progress bar that any thread may use.

    Attributes
    ----------
    advance : function
        Takes the amount of work that was done.
    say : function
        Takes a few words to show next to the bar.
    """

    advance: Callable[[float], None]
    say: Callable[[str], None]


_part: ContextVar[tuple[Bar, float] | None] = ContextVar("part", default=None)


@contextlib.contextmanager
def progress_bar(total: float | None, show: bool, unit: str = "") -> Iterator[Bar]:
    """Yield a progress bar, which disappears at the end.

    The bar is shown on a terminal and in a notebook, after half a second, and not where standard
    error is a pipe or a file.

    Parameters
    ----------
    total : float or None
        The amount of work at which the bar is full; None if it is not known.
    show : bool
        Whether to show it at all.
    unit : str, default ""
        The unit of the work, shown with its rate. Without a unit the bar shows a percentage.
    """
    outer = _part.get()
    bar = _tqdm(total, unit) if show and outer is None else None
    if bar is None:
        yield _share(outer, total)
        return
    lock = threading.Lock()

    def advance(amount: float) -> None:
        with lock:
            bar.update(amount)

    def say(words: str) -> None:
        with lock:
            bar.set_postfix_str(words, refresh=False)

    with bar:
        try:
            yield Bar(advance, say)
        finally:
            # A notebook keeps a bar that is not full.
            bar.total = bar.n


@contextlib.contextmanager
def part_of(bar: Bar, amount: float) -> Iterator[None]:
    """Let the progress bars in this context advance another bar instead of being shown.

    Parameters
    ----------
    bar : Bar
    amount : float
        The work of `bar` that each bar in this context amounts to.
    """
    token = _part.set((bar, amount))
    try:
        yield
    finally:
        _part.reset(token)


def _share(outer: tuple[Bar, float] | None, total: float | None) -> Bar:
    """Return a bar that advances a part of another one, or an invisible bar."""
    if outer is None or total is None:
        return Bar(lambda amount: None, lambda words: None)
    bar, scale = outer[0], outer[1] / max(total, 1e-300)
    return Bar(lambda amount: bar.advance(amount * scale), lambda words: None)


def _tqdm(total: float | None, unit: str) -> Any:
    """Return a bar of tqdm for standard error or the notebook, None if neither shows one."""
    options: dict[str, Any] = {"total": total, "delay": _DELAY, "leave": False}
    if unit:
        options |= {"unit": unit, "unit_scale": True}
    else:
        options["bar_format"] = _PERCENT
    if _in_notebook():
        # Without ipywidgets, or where they do not work, a notebook shows text.
        with contextlib.suppress(Exception):
            import ipywidgets  # noqa: F401
            from tqdm.notebook import tqdm as widget

            widget.status_printer(None, total)
            return widget(**options)
    elif not (sys.stderr and sys.stderr.isatty()):
        return None
    from tqdm.std import tqdm as text

    return text(**options)


def _in_notebook() -> bool:
    """Return whether the interpreter is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None
