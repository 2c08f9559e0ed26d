"""Progress bars: terminals, pipes, notebooks, nesting; and maps that Ctrl-C ends."""

import contextlib
import io
import subprocess
import sys
import threading
import time
import types

import pytest

import fastsched as fs
from fastsched import progress
from fastsched.parallel import Abandoned, ordered_map
from fastsched.progress import part_of, progress_bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def immediate(monkeypatch):
    monkeypatch.setattr(progress, "_DELAY", 0)


@pytest.fixture
def notebook(monkeypatch, immediate):
    """A kernel without ipywidgets, whose standard error is no terminal."""
    kernel = types.ModuleType("IPython")
    shell = type("ZMQInteractiveShell", (), {"kernel": object()})()
    kernel.get_ipython = lambda: shell
    monkeypatch.setitem(sys.modules, "IPython", kernel)
    monkeypatch.setitem(sys.modules, "ipykernel.zmqshell", types.ModuleType("zmqshell"))
    monkeypatch.setitem(sys.modules, "ipywidgets", None)


def fill(total=4):
    with progress_bar(total, True, " updates") as bar:
        for _ in range(total):
            bar.say("words")
            bar.advance(1)


@pytest.mark.filterwarnings("error")
def test_text_in_a_notebook_without_widgets(notebook, monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    fill()
    assert "/4.00" in sys.stderr.getvalue()
    assert sys.stderr.getvalue().endswith("\r")


@pytest.mark.filterwarnings("error")
def test_a_run_shows_progress_in_a_notebook_without_widgets(notebook, monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    study = fs.Study(fs.Quadratic([1.0, 0.1]), fs.SGD(0.1), steps=100, trajectories=64)
    fs.run(study)
    assert "updates" in sys.stderr.getvalue()


def test_widgets_that_do_not_work_become_text(notebook, monkeypatch):
    monkeypatch.setitem(sys.modules, "ipywidgets", types.ModuleType("ipywidgets"))
    monkeypatch.delitem(sys.modules, "tqdm.notebook", raising=False)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    fill()
    assert "/4.00" in sys.stderr.getvalue()


def test_a_widget_is_closed_where_work_is_left(notebook, monkeypatch):
    bars = []

    class Widget:
        def __init__(self, **options):
            self.n, self.total = 0, options["total"]
            bars.append(self)

        @staticmethod
        def status_printer(file, total):
            pass

        def update(self, amount):
            self.n += amount

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.danger = self.n < self.total

    module = types.ModuleType("tqdm.notebook")
    module.tqdm = Widget
    monkeypatch.setitem(sys.modules, "ipywidgets", types.ModuleType("ipywidgets"))
    monkeypatch.setitem(sys.modules, "tqdm.notebook", module)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with progress_bar(4, True) as bar:
        bar.advance(1)
    assert not bars[0].danger
    assert sys.stderr.getvalue() == ""


def test_shown_on_a_terminal(monkeypatch, immediate):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress_bar(2.0, True) as bar:
        bar.advance(1.0)
        time.sleep(0.11)
        bar.advance(0.5)
    assert "75%" in sys.stderr.getvalue()
    assert sys.stderr.getvalue().endswith("\r")


def test_work_of_an_unknown_amount(monkeypatch, immediate):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress_bar(None, True, " steps") as bar:
        bar.advance(1)
        time.sleep(0.11)
        bar.advance(2)
    assert "3.00 steps" in sys.stderr.getvalue()
    with part_of(progress.Bar(print, print), 1.0), progress_bar(None, True) as bar:
        bar.advance(1)


def test_nothing_of_a_short_task(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    fill()
    assert sys.stderr.getvalue().strip() == ""


def test_nothing_in_a_pipe():
    code = (
        "from fastsched import progress\n"
        "progress._DELAY = 0\n"
        "with progress.progress_bar(2, True) as bar: bar.advance(1)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stderr == done.stdout == b""


@pytest.mark.parametrize("stream", [None, io.StringIO()])
def test_nothing_without_a_terminal(monkeypatch, immediate, stream):
    monkeypatch.setattr(sys, "stderr", stream)
    fill()
    assert stream is None or stream.getvalue() == ""


def test_bars_within_a_part_advance_the_outer_one(monkeypatch, immediate):
    monkeypatch.setattr(sys, "stderr", Terminal())
    done = []
    outer = progress.Bar(done.append, lambda words: None)
    with part_of(outer, 3.0), progress_bar(10, True) as inner:
        inner.advance(5)
        inner.advance(5)
    assert done == [1.5, 1.5]
    with progress_bar(10, False) as inner:
        inner.advance(5)
    assert done == [1.5, 1.5]
    assert sys.stderr.getvalue() == ""


def test_any_thread_may_advance(monkeypatch, immediate):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress_bar(4000, True, " updates") as bar:
        threads = [
            threading.Thread(target=lambda: [bar.advance(1) for _ in range(1000)]) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        bar.say("end")
        time.sleep(0.11)
        bar.advance(0)
    assert "4.00k/4.00k" in sys.stderr.getvalue()


@pytest.mark.parametrize("threads", [1, 3])
def test_an_ordered_map_is_in_order(threads):
    assert list(ordered_map(lambda i, check: i**2, range(50), threads)) == [i**2 for i in range(50)]


def test_an_ordered_map_that_ends_early_cancels_the_rest():
    started, abandoned = [], []

    def work(item, check):
        started.append(item)
        if item == 0:
            return item
        try:
            while True:
                check()
                time.sleep(0.001)
        except Abandoned:
            abandoned.append(item)
            raise

    with contextlib.closing(ordered_map(work, range(1000), 2)) as results:
        assert next(results) == 0
    assert len(started) <= 5
    assert sorted(abandoned) == [i for i in sorted(started) if i]
