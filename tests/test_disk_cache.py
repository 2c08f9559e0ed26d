"""Compiled code on disk: never stale, and in a folder that can be written to."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import fastsched as fs
from fastsched import disk_cache, sources

PACKAGE = Path(fs.__file__).parent

RUN = """
import fastsched as fs
study = fs.Study(fs.Quadratic([1.0], noise=0.0), fs.SGD(0.5), 1, 1)
print(float(fs.run(study, progress=False, device="cpu").data["loss"][-1]))
"""


def python(script, cwd, **environment):
    """Run a script in a process of its own, with this environment and no other."""
    # Python does not start on Windows without SYSTEMROOT.
    kept = {key: os.environ[key] for key in ("PATH", "SYSTEMROOT") if key in os.environ}
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=cwd,
        env=kept | environment,
        capture_output=True,
        text=True,
    )


def output(script, cwd, **environment):
    done = python(script, cwd, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def copy(tmp_path):
    """A copy of the package that may be edited."""
    shutil.copytree(PACKAGE, tmp_path / "fastsched", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def edit(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_kernels_notice_edits_of_a_helper_of_an_optimizer(copy):
    sgd, helper = copy / "fastsched/optimizers/sgd.py", copy / "fastsched/helper.py"
    helper.write_text(
        "from fastsched.kernels.device import device\n\n\n"
        "@device\ndef scaled(x):\n    return x + x - x\n"
    )
    edit(
        sgd,
        "from fastsched.spec import spec\n",
        "from fastsched.spec import spec\nfrom ..helper import (\n scaled)\n",
    )
    edit(sgd, "rate * gradient),)", "scaled(rate * gradient)),)")
    cache = {"NUMBA_CACHE_DIR": str(copy / "cache"), "PYTHONPATH": str(copy)}
    assert output(RUN, copy, **cache) == "0.125"
    edit(helper, "x + x - x", "x + x")
    assert output(RUN, copy, **cache) == "0.0"


def test_functions_notice_edits_of_other_modules(copy):
    """Those that Numba caches by itself know their own file only."""
    script = """
        import numpy as np
        from fastsched.kernels import reduce
        print(reduce.block_histogram(np.ones((1, 16)), 16)[0].tolist())
    """
    cache = {"NUMBA_CACHE_DIR": str(copy / "cache"), "PYTHONPATH": str(copy)}
    before = output(script, copy, **cache)
    assert output(script, copy, **cache) == before
    assert list((copy / "cache").rglob("*.nbi"))
    assert not list((copy / "fastsched").rglob("*.nbi"))
    edit(
        copy / "fastsched/kernels/device.py",
        "return builder.bitcast(arguments[0], context.get_value_type(target))",
        "return context.get_constant(target, 0)",
    )
    assert output(script, copy, **cache) != before


def test_all_forms_of_imports_are_followed(tmp_path, monkeypatch):
    package = tmp_path / "followed_package"
    (package / "inner").mkdir(parents=True)
    forms = {
        "__init__": "",
        "a": "from followed_package.b import (\n    one,\n    two,\n)\n",
        "b": "import followed_package.c as other\none = two = 1\n",
        "c": "from . import d\n",
        "d": "from .inner.e import three as four\n",
        "inner/__init__": "five = 5\n",
        "inner/e": "from .. import f; three = 3\n",
        "f": "try:\n    from . import g\nexcept OSError:\n    import followed_package.h\n",
        "g": "import numpy, missing_altogether\n",
        "h": "if g:\n    from .missing import x\nelse:\n    import followed_package.i\n",
        "i": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from . import unseen\n",
        "unseen": "",
    }
    for name, text in forms.items():
        (package / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    found = sources.dependencies("from followed_package.a import one\nimport numba\n")
    own = {name.removeprefix("followed_package.") for name in found}
    names = {"a", "b", "c", "d", "e", "f", "g", "h", "i"}
    assert names - {"e"} | {"inner.e", "followed_package", "missing"} == own


def test_a_module_without_source_is_refused():
    with pytest.raises(fs.FastschedError, match=r"source of the module 'lost\.module'"):
        sources.dependencies("from lost.module import f\n")


def test_fingerprints_depend_on_all_sources(monkeypatch):
    source = "from fastsched.optimizers.sgd import sgd_update\n"
    before = disk_cache.fingerprint.__wrapped__(source)
    assert before == disk_cache.fingerprint.__wrapped__(source)
    found = sources.dependencies(source)
    assert {"fastsched.spec", "fastsched.schedules.base", "fastsched.kernels.device"} <= set(found)
    for name in found:
        edited = found | {name: "edited"}
        monkeypatch.setattr(disk_cache, "dependencies", lambda text, edited=edited: edited)
        assert disk_cache.fingerprint.__wrapped__(source) != before


FOLDER = """
import fastsched as fs
from fastsched.disk_cache import cache_folder
print(cache_folder())
"""
WARNING = "set NUMBA_CACHE_DIR"


@pytest.mark.skipif(sys.platform == "win32", reason="folders of Unix")
def test_the_order_of_folders(tmp_path):
    names = ["numba", "xdg", "home"]
    given = dict(zip(["NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "HOME"], names, strict=True))
    given = {key: str(tmp_path / name) for key, name in given.items()}
    given["PYTHONPATH"] = str(PACKAGE.parent)
    work = tmp_path / "work"
    work.mkdir()
    assert output(FOLDER, work, **given) == str(tmp_path / "numba/fastsched")
    given["NUMBA_CACHE_DIR"] = ""
    assert output(FOLDER, work, **given) == str(tmp_path / "xdg/fastsched")
    for ignored in ("", "relative", "./relative"):
        given["XDG_CACHE_HOME"] = ignored
        assert output(FOLDER, work, **given) == str(tmp_path / "home/.cache/fastsched")
    del given["XDG_CACHE_HOME"]
    assert output(FOLDER, work, **given) == str(tmp_path / "home/.cache/fastsched")
    assert list(work.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="folders of Unix")
@pytest.mark.parametrize("home", ["relative", None])
def test_no_home_folder(home, tmp_path):
    """Without HOME and without an entry in the user database, as in containers."""
    script = f"""
        import os, pathlib
        def fail(*arguments):
            raise RuntimeError("Could not determine home directory.")
        if "HOME" not in os.environ:
            pathlib.Path.home = fail
        {FOLDER.replace(chr(10), chr(10) + "        ")}
    """
    given = {"PYTHONPATH": str(PACKAGE.parent), "TMPDIR": str(tmp_path / "tmp")}
    if home is not None:
        given["HOME"] = home
    (tmp_path / "tmp").mkdir()
    work = tmp_path / "work"
    work.mkdir()
    done = python(script, work, **given)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(tmp_path / "tmp"))
    assert done.stderr.count(WARNING) == 1
    assert list(work.iterdir()) == []
    assert list((tmp_path / "tmp").iterdir()) == []  # removed at exit
    given["XDG_CACHE_HOME"] = str(tmp_path / "xdg")
    assert output(script, work, **given) == str(tmp_path / "xdg/fastsched")


BECOME_UNKNOWN = """
import os
os.setgid(12345)
os.setuid(12345)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="users of Unix")
def test_a_user_without_an_entry_and_a_read_only_installation(copy):
    """Import, exact theory and a run leave the current folder alone."""
    if python(BECOME_UNKNOWN + "import numba, xarray, h5netcdf", copy).returncode:
        pytest.skip("this user cannot become another one that can read the installation")
    work, temporary = copy / "work", copy / "temporary"
    for folder in (copy, copy.parent, copy.parent.parent):
        folder.chmod(0o755)
    for folder in (work, temporary):
        folder.mkdir()
        folder.chmod(0o777)
    script = BECOME_UNKNOWN + RUN + 'print(float(fs.exact(study).data["loss"][-1]))'
    done = python(script, work, PYTHONPATH=str(copy), TMPDIR=str(temporary))
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["0.125", "0.125"]
    assert WARNING in done.stderr
    assert list(work.iterdir()) == []
    assert list(temporary.iterdir()) == []


def test_no_folder_at_all(monkeypatch):
    monkeypatch.setattr(disk_cache, "_candidates", lambda: iter(()))

    def fail(**options):
        raise FileNotFoundError("no usable temporary directory")

    monkeypatch.setattr(disk_cache.tempfile, "mkdtemp", fail)
    with pytest.raises(fs.FastschedError, match="set NUMBA_CACHE_DIR"):
        disk_cache.cache_folder.__wrapped__()
