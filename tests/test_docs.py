"""The documentation's code runs as it stands, prints what stands below it, and leaves nothing out.

A page is run from top to bottom in a folder of its own: `python` blocks in one namespace; `toml`
blocks become the file that their first line names; lines of `sh` blocks that start with
`fastsched` run, by its entry function. A `text` block is what the block above it prints.
`<!-- needs NAME -->` above a block runs it only where the module is installed, or, for "cuda", a
GPU is there. Numbers of trajectories above LARGEST run as LARGEST.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import re
import shlex
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

import fastsched as fs
from fastsched.cli import main
from fastsched.devices import chosen_gpus
from fastsched.spec import Spec

LARGEST = 20_000

ROOT = Path(__file__).parents[1]
PAGES = [
    path
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
    if "```" in path.read_text(encoding="utf-8")
]
BLOCK = re.compile(
    r"(?:^<!-- needs (?P<need>\w+) -->\n)?^```(?P<language>\w+)[^\n]*\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
COUNT = re.compile(r"trajectories=(10\*\*\d+|[\d_]+)")
NUMBER = re.compile(r"-?\d+(?:,\d{3})*(?:\.\d+)?(?:e[+-]\d+)?")
SECONDS = re.compile(r"[\d.]+ s\b")


def available(need):
    if need == "cuda":
        return bool(chosen_gpus("auto", None))
    return need is None or importlib.util.find_spec(need) is not None


def lowered(code):
    return COUNT.sub(lambda match: f"trajectories={min(eval(match[1]), LARGEST)}", code)


def run_python(code, names):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(lowered(code), names)
    return printed.getvalue()


def run_commands(code):
    text = ""
    for line in code.splitlines():
        command, _, file = line.partition("#")[0].partition(">")
        if command.startswith("fastsched "):
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                assert main(shlex.split(command)[1:]) == 0
            if file:
                Path(file.strip()).write_text(printed.getvalue(), encoding="utf-8")
            else:
                text += printed.getvalue()
    return text


def same_text(told, printed):
    """Whether texts are equal but for seconds, spaces, and one unit of a number's last digit."""
    told, printed = (SECONDS.sub("", text) for text in (told, printed))
    if NUMBER.sub("", told).split() != NUMBER.sub("", printed).split():
        return False
    return all(
        abs(float(a.replace(",", "")) - float(b.replace(",", ""))) <= 1.01 * unit(a)
        for a, b in zip(NUMBER.findall(told), NUMBER.findall(printed), strict=True)
    )


def unit(number):
    digits, _, exponent = number.partition("e")
    return 10.0 ** (int(exponent or 0) - len(digits.partition(".")[2])) if "." in digits else 0.0


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_page(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Spec, "registry", dict(Spec.registry))  # a page may define a class
    page = path.read_text(encoding="utf-8")
    blocks = list(BLOCK.finditer(page))
    assert 2 * len(blocks) == len(re.findall(r"^\s*```", page, re.MULTILINE))
    names, printed = {"__name__": "__main__"}, ""
    for block in blocks:
        language, code = block["language"], block["code"]
        if not available(block["need"]):
            continue
        if language == "python":
            printed = run_python(code, names)
        elif language == "sh":
            printed = run_commands(code)
        elif language == "toml":
            Path(code.split()[1]).write_text(code, encoding="utf-8")
        elif language == "text":
            assert same_text(code, printed), printed
    plt.close("all")


def test_texts_are_compared():
    assert same_text("loss 0.12 +- 1.5e-05, 3.1 s", "loss  0.13 +- 1.6e-05, 0.9 s")
    assert not same_text("loss 0.12", "loss 0.14")
    assert not same_text("loss 0.12", "cost 0.12")
    assert not same_text("20,000 trajectories", "20,001 trajectories")


def test_the_api_is_complete():
    pages = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs/api").glob("*.md"))
    documented = set(re.findall(r"^::: fastsched\.(?:\w+\.)*(\w+)$", pages, re.MULTILINE))
    assert {*fs.__all__, *fs.theory.__all__} - documented == {"__version__"}
