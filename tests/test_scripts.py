"""Every script runs, and draws its figure."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HELPERS = {"study.py"}
SCRIPTS = sorted(
    path
    for path in (Path(__file__).parents[1] / "scripts").glob("*.py")
    if path.name not in HELPERS
)


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_script(script, tmp_path):
    figure = tmp_path / "figure.png"
    done = subprocess.run(
        [sys.executable, str(script), "--quick", "-o", str(figure)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert figure.stat().st_size > 10_000
    assert str(figure) in done.stdout
