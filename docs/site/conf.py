"""Sphinx's settings for the documentation site; `build.py` beside it runs Sphinx, with warnings as errors."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.metadata
import inspect
import re
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.ext.napoleon import Config, GoogleDocstring
from sphinx.util.nodes import make_refnode

project = "arnold"
release = importlib.metadata.version("arnold")
html_title = f"arnold {release}"
extensions = ["myst_parser", "sphinx.ext.autodoc"]
myst_heading_anchors = 3

default_role = "literal"  # docstrings write `name` and ``name`` alike
highlight_language = "none"  # unless a block says what it is: most are shell commands
autodoc_default_options = {"members": True, "special-members": "__call__", "ignore-module-all": True}
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
add_module_names = False  # the heading says it
maximum_signature_line_length = 150  # of characters, module names of types included
LONGEST_VALUE = 200  # characters

# Every cross-reference to a thing of ours must lead somewhere. Things of other packages have no page here.
nitpicky = True
_OTHERS = "abc|collections|dataclasses|flax|jax|mujoco|np|numpy|os|pandas|pathlib|scipy|types|typing|xarray"
nitpick_ignore_regex = [("py:.*", rf"({_OTHERS})\..*"), ("py:mod", "json")]

html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False

_GOOGLE = Config(napoleon_use_ivar=True)
_NO_EXPRESSION = re.compile(r"<[^<>]+>")  # `<factory>`: with it Sphinx could not read a signature
_FIELD = re.compile(r"^    (\w+): [^#\n]+  # (.+)$", re.MULTILINE)
_RETURNS = re.compile(r"^Returns:\n( +)(?=\S)", re.MULTILINE)


def _google_sections(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Sections as Sphinx has them, by Napoleon's parser.

    The attributes of a class are what it is made with, and several may share a line, which Napoleon knows of arguments
    only. Types are in signatures here, so words before a colon are none, neither after "Returns:" (where an empty type
    says so) nor in what a property is.
    """
    kind = "function" if what in ("attribute", "data", "property") else what
    text = "\n".join(lines)
    if what == "class" and "\nArgs:\n" not in text:
        text = text.replace("\nAttributes:\n", "\nArgs:\n")
        text += "" if "\nArgs:\n" in text else _commented_fields(obj)
    lines[:] = GoogleDocstring(_RETURNS.sub(r"Returns:\n\1: ", text), _GOOGLE, None, kind).lines()


def _commented_fields(cls: type) -> str:
    """The fields of a class whose meaning is a comment beside each, as a section."""
    fields = _FIELD.findall(inspect.getsource(cls)) if dataclasses.is_dataclass(cls) or hasattr(cls, "_fields") else []
    return "\n".join(["\nArgs:", *(f"    {name}: {comment}" for name, comment in fields), ""]) if fields else ""


def _readable(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, given: str | None, returned: str | None
) -> Any:
    """A signature whose defaults are expressions."""
    return given and _NO_EXPRESSION.sub("...", given), returned


def _is_of_another_module(app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Leave out what a module has only imported, before Sphinx looks at it (which takes time)."""
    here = app.env.current_document.autodoc_module
    return True if what == "module" and getattr(obj, "__module__", here) != here else None


def _at_home(app: Sphinx, env: Any, node: Any, shown: nodes.Element) -> nodes.Element | None:
    """Lead a reference by a name that a package offers, or a module has imported, to where the thing is defined."""
    target = node["reftarget"]
    found = _found(target) or _found(f"{node.get('py:module')}.{target}")
    if found is None or node.get("refdomain") != "py":
        return None
    home = f"{getattr(found, '__module__', '')}.{getattr(found, '__qualname__', '')}"
    entry = env.domains["py"].objects.get(home)
    if entry is None:
        return shown  # it exists, but has no docstring, or is not ours
    return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, shown, home)


def _found(name: str) -> Any:
    """What a full name leads to in the installed package, or None."""
    module, _, last = name.rpartition(".")
    if not name.startswith("arnold."):
        return None
    try:
        return getattr(importlib.import_module(module), last)
    except (ImportError, AttributeError):
        return None


def _short_values(app: Sphinx, document: nodes.document) -> None:
    """A constant's value where it is short; a table of recipes would fill pages."""
    for node in document.findall(addnodes.desc_annotation):
        if len(node.astext()) > LONGEST_VALUE:
            node.children = [nodes.Text(" = ...")]


def setup(app: Sphinx) -> None:
    """Connect what this site does its own way."""
    app.connect("autodoc-process-docstring", _google_sections)
    app.connect("autodoc-process-signature", _readable)
    app.connect("autodoc-skip-member", _is_of_another_module)
    app.connect("missing-reference", _at_home)
    app.connect("doctree-read", _short_values)
