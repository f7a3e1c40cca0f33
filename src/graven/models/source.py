"""Write functions as source and compile them so that debuggers and tracebacks show the lines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from graven._hints import Any

__all__ = ["compile_function"]


def compile_function(
    title: str, name: str, signature: str, body: Iterable[str], names: Mapping[str, Any]
) -> Any:
    """Compile ``def name(signature): body`` with *names* as its globals.

    The source is kept under ``<graven title.name>`` in :mod:`linecache`. *body* is a sequence of
    lines, indented by four spaces relative to one another where they nest.
    """
    import linecache  # its tokenizer is not needed by a program that only opens a database

    lines = [f"def {name}({signature}):", *(f"    {line}" for line in body)]
    source = "\n".join(lines) + "\n"
    filename = f"<graven {title}.{name}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    namespace = dict(names)
    exec(compile(source, filename, "exec"), namespace)
    return namespace[name]
