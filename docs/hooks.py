"""What MkDocs does for these pages besides its plugins."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import griffe
from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)
_STAR = re.compile(r"(?<!\*)\*(?!\*)")
_DISPLAY = re.compile(r"^( *)\.\. math::(.*\n(?:\1 +.*\n?|\n(?=\1 +))*)", re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the scripts' figures, which the README shows too."""
    for path in sorted(Path("scripts/figures").glob("*.png")):
        files.append(File.generated(config, f"figures/{path.name}", abs_src_path=str(path)))
    return files


def on_page_content(text: str, **_: Any) -> str:
    """Turn formulas into MathML, which browsers draw without a script."""

    def mathml(match: re.Match[str]) -> str:
        display = "block" if match[1] == "div" else "inline"
        return convert(html.unescape(match[2]).strip(), display=display)

    return _FORMULA.sub(mathml, text)


class Docstrings(griffe.Extension):
    """Turns the mathematics and the plain text of docstrings into Markdown."""

    def on_class_instance(self, *, cls: griffe.Class, **_: Any) -> None:
        for decorator in cls.decorators:
            if str(decorator.value) == "spec":  # a dataclass, whose signature is its fields
                decorator.value = griffe.ExprName("dataclasses.dataclass")

    def on_attribute_instance(self, *, attr: griffe.Attribute, **_: Any) -> None:
        if str(attr.annotation) == "ClassVar":  # no field, which griffe sees by brackets only
            attr.annotation = None

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)


def as_markdown(docstring: str) -> str:
    """Return a docstring whose formulas are in dollars and whose text has no markup by chance."""
    text, heading, examples = docstring.partition("\nExamples\n--------\n")
    parts = _DISPLAY.split(re.sub(r":math:`([^`]*)`", r"$\1$", text + "\n"))
    for k in range(0, len(parts), 3):
        pieces = re.split(r"(`+[^`]*`+|\$[^$]*\$)", parts[k])
        pieces[::2] = [_STAR.sub(r"\*", piece.replace("<", "&lt;")) for piece in pieces[::2]]
        parts[k] = "".join(pieces)
    for k in range(1, len(parts), 3):
        indent, formula = parts[k], " ".join(parts[k + 1].split())
        if r"\\" in formula and r"\begin" not in formula:
            formula = rf"\begin{{split}} {formula} \end{{split}}"
        parts[k : k + 2] = [f"{indent}$$\n{indent}{formula}\n{indent}$$\n", ""]
    return "".join(parts) + heading + examples
