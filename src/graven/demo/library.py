"""The standard library as objects, and the comparison of such objects with the sources."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields

from graven import Model, key, many_to_many, owned
from graven.demo.cycles import cyclic_groups
from graven.demo.sources import BUILT_IN, EXTENSION, SOURCE, Source, Statement


class Kind(enum.Enum):
    """What a module is made of."""

    SOURCE = SOURCE
    EXTENSION = EXTENSION
    BUILT_IN = BUILT_IN


class Module(Model):
    """A module of the standard library, its package, and its imports."""

    name: str = key()
    kind: Kind
    path: str | None
    size_bytes: int
    sha256: bytes | None
    lines: int
    docstring: str | None
    is_package: bool
    package: Module | None = None
    imports: list[Import] = owned("importer")
    needs: list[Module] = many_to_many()


class Import(Model):
    """One import of one module by another, where it stands, and whether it waits for a call."""

    importer: Module
    imported: Module
    line: int
    column: int
    deferred: bool


MODULE_FIELDS = (
    "name", "kind", "path", "size_bytes", "sha256", "lines", "docstring", "is_package", "package",
)  # fmt: skip
IMPORT_FIELDS = tuple(one.name for one in fields(Statement))


def objects_of(sources: Mapping[str, Source]) -> list[Module]:
    """Make a module object of each source, with all references among them, cycles included."""
    modules = {
        one.name: Module(
            name=one.name,
            kind=Kind(one.kind),
            path=one.path,
            size_bytes=one.size_bytes,
            sha256=one.sha256,
            lines=one.lines,
            docstring=one.docstring,
            is_package=one.is_package,
        )
        for one in sources.values()
    }
    for source in sources.values():
        module = modules[source.name]
        module.package = modules.get(source.name.rpartition(".")[0])
        module.needs = [modules[name] for name in needed_by(source)]
        module.imports = [
            Import(
                importer=module,
                imported=modules[one.imported],
                line=one.line,
                column=one.column,
                deferred=one.deferred,
            )
            for one in source.statements
        ]
    return list(modules.values())


def needed_by(source: Source) -> list[str]:
    """Return the names of the modules that a source imports, each once."""
    return sorted({one.imported for one in source.statements})


def differences(modules: Iterable[Module], sources: Mapping[str, Source]) -> Iterator[str]:
    """Yield what differs between stored modules and sources: field by field, import by import."""
    stored = Counter(module.name for module in modules)
    for name in sorted(stored.keys() | sources.keys()):
        if stored[name] != (name in sources):
            yield f"module {name}: stored {stored[name]} times, should be {name in sources:d}"
    for module in modules:
        source = sources.get(module.name)
        if source is not None:
            yield from _module_differences(module, source, sources)


def _module_differences(
    module: Module, source: Source, sources: Mapping[str, Source]
) -> Iterator[str]:
    package = source.name.rpartition(".")[0]
    for name in MODULE_FIELDS:
        stored = getattr(module, name)
        if name == "package":
            should_be: object = package if package in sources else None
            stored = None if stored is None else stored.name
        else:
            should_be = getattr(source, name)
            stored = stored.value if isinstance(stored, Kind) else stored
        if stored != should_be or type(stored) is not type(should_be):
            yield f"module {module.name}: {name} is {stored!r:.80}, should be {should_be!r:.80}"
    found = Counter(
        Statement(one.imported.name, one.line, one.column, one.deferred) for one in module.imports
    )
    expected = Counter(source.statements)
    for words, surplus in (("too many", found - expected), ("missing", expected - found)):
        for one in surplus:
            yield f"module {module.name}: import of {one.imported} in line {one.line} is {words}"
    yield from (
        f"module {module.name}: an import of it says that {one.importer.name} imports"
        for one in module.imports
        if one.importer is not module
    )
    needs = sorted(one.name for one in module.needs)
    if needs != needed_by(source):
        yield f"module {module.name}: needs {needs!r:.80}, should be {needed_by(source)!r:.80}"


def cycles_of_objects(modules: list[Module]) -> list[set[str]]:
    """Return the groups of modules that import one another, by walking from object to object."""

    def following(module: Module) -> list[Module]:
        return [one.imported for one in module.imports]

    groups = cyclic_groups(modules, following)
    return [{module.name for module in group} for group in groups]


def cycles_of_sources(sources: Mapping[str, Source]) -> list[set[str]]:
    """Return the same groups out of the sources."""
    return cyclic_groups(sources, lambda name: needed_by(sources[name]))
