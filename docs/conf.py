"""How the documentation is built; needs no network."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils.nodes import Element, document, reference
from sphinx.addnodes import pending_xref
from sphinx.util.nodes import make_refnode

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

ROOT = Path(__file__).resolve().parent.parent

project = "graven"
author = "The graven authors"
copyright = author
release = version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"][
    "version"
]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.doctest"]
exclude_patterns = ["_build"]
default_role = "literal"  # `name` in a docstring is code
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(?!graven\.).*"),  # only our own names can be linked offline
    ("py:mod", r"graven\..*"),  # a package need not have a page of its own
    ("py:class", r"graven\.models\.declarations\.Naive"),  # a mark inside NaiveDatetime
    ("py:.*", r"graven\._.*"),  # nor what is private: bases of public classes, live views
    ("py:.*", r".*\.[A-Z]"),  # type variables
]
suppress_warnings = ["misc.highlighting_failure"]

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True

# An example sees the public names, as it would in its own module, and an empty directory.
doctest_global_setup = """
import importlib, os, pkgutil, tempfile
import graven
_before, _folder = os.getcwd(), tempfile.TemporaryDirectory()
os.chdir(_folder.name)
_names = [info.name for info in pkgutil.walk_packages(graven.__path__, "graven.")]
for _name in ["graven", *(name for name in _names if "._" not in name)]:
    _module = importlib.import_module(_name)
    globals().update({name: getattr(_module, name) for name in getattr(_module, "__all__", ())})
"""
doctest_global_cleanup = """
os.chdir(_before)
_folder.cleanup()
"""

html_theme = "furo"
html_title = f"graven {release}"
html_show_sourcelink = False


def find_by_last_name(
    app: Sphinx, env: BuildEnvironment, node: Element, content: Element
) -> reference | None:
    """Link a name to where it is public: `graven._sync.session.Session` is `graven.Session`.

    Annotations name the module that defines a class, the reference shows the one that exports it.
    """
    wanted = str(node.get("reftarget", ""))
    if node.get("refdomain") != "py" or not wanted:
        return None
    objects: dict[str, Any] = env.domains["py"].data["objects"]
    last = "." + wanted.rpartition(".")[2]
    found = [name for name in objects if name.startswith("graven.") and name.endswith(last)]
    if not found or (not wanted.startswith("graven.") and "." in wanted):
        return None
    best = min(found, key=lambda name: (name.count("."), name))
    entry = objects[best]
    return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, content, best)


def qualify_names(_app: Sphinx, tree: document) -> None:
    """Give the names in annotations their modules: `Transaction` is another in each of two.

    A name means what it means in the module that uses it, or else what graven exports by it.
    """
    for node in tree.findall(pending_xref):
        wanted = str(node.get("reftarget"))
        module = sys.modules.get(str(node.get("py:module")))
        shown = getattr(module, str(node.get("py:class")), None)
        bases = shown.__mro__ if isinstance(shown, type) else ()
        homes = (sys.modules.get(base.__module__) for base in bases)
        scopes = [module, *homes, sys.modules.get("graven")]
        named = next((getattr(one, wanted) for one in scopes if hasattr(one, wanted)), None)
        if (home := home_of(wanted, named)) is not None:
            node["reftarget"] = f"{home}.{wanted}"


def home_of(name: str, named: object) -> str | None:
    """Find the module of ours that exports *named*."""
    modules = [(key, one) for key, one in sys.modules.items() if key.startswith("graven.")]
    homes = [
        key
        for key, module in modules
        if name in getattr(module, "__all__", ()) and vars(module).get(name) is named is not None
    ]
    own = named.__module__ if isinstance(named, type) else None
    return own if own in homes else next(iter(homes), None)


def setup(app: Sphinx) -> None:
    """Register what this project adds to Sphinx."""
    app.connect("doctree-read", qualify_names)
    app.connect("missing-reference", find_by_last_name)
