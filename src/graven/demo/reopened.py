"""The fresh process of part one: ``python -m graven.demo.reopened URL LIMIT``.

It knows the database's URL and nothing else of what was stored: it loads all objects, reads the
sources by itself, compares the two, and says what it found on standard output, as JSON lines.
"""

from __future__ import annotations

import json
import os
import sys
from time import perf_counter
from typing import Any

from graven import Database
from graven.demo.library import (
    IMPORT_FIELDS,
    MODULE_FIELDS,
    Module,
    cycles_of_objects,
    cycles_of_sources,
    differences,
)
from graven.demo.outcome import rate
from graven.demo.sources import Source, places, read

STEP = 25  # modules between two words on the progress


def main(url: str, limit: int) -> None:
    """Load, read, compare, and report."""
    began = perf_counter()
    with Database(url) as db, db.session() as session:
        modules = (
            session.query(Module)
            .include(Module.package, Module.imports, Module.needs)
            .order_by(Module.name)
            .all()
        )
        seconds = perf_counter() - began
        imports = sum(len(module.imports) for module in modules)
        sources = _read_all(limit or None)
        found = list(differences(modules, sources))
        groups = cycles_of_objects(modules)
        if sorted(map(sorted, groups)) != sorted(map(sorted, cycles_of_sources(sources))):
            found.append("the cycles among the objects are not those among the sources")
    links = sum(len(module.needs) for module in modules)
    compared = len(modules) * len(MODULE_FIELDS) + imports * len(IMPORT_FIELDS) + links
    figures = {
        "seconds to load": round(seconds, 3),
        "objects loaded per second": rate(len(modules) + imports, seconds),
        "values compared": compared,
        "import cycles": len(groups),
        "modules in the largest cycle": len(groups[0]) if groups else 0,
    }
    _say({"figures": figures, "differences": found})


def _read_all(limit: int | None) -> dict[str, Source]:
    known = places(limit)
    sources: dict[str, Source] = {}
    for count, (name, place) in enumerate(known.items(), start=1):
        sources[name] = read(place, known)
        if count % STEP == 0:
            _say({"at": count})
    return sources


def _say(word: dict[str, Any]) -> None:
    os.write(1, (json.dumps(word) + "\n").encode())


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
