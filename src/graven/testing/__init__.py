"""Tools for tests of code that uses graven: a rollback after each test, and crashes on command.

Their fixtures for pytest are in :mod:`graven.testing.fixtures`, and are there without an import.
"""

from graven._hints import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graven.testing.rolling import rolled_back, rolled_back_async
    from graven.testing.simulation import Crash, SimulatedSQLite

__all__ = ["Crash", "SimulatedSQLite", "rolled_back", "rolled_back_async"]


def __getattr__(name: str) -> Any:
    """Import a name when it is first used: pytest loads the plug-in of graven wherever it is."""
    if name not in __all__:
        raise AttributeError(f"module 'graven.testing' has no attribute {name!r}")
    home = "rolling" if name.startswith("rolled") else "simulation"
    found = globals()[name] = getattr(__import__(f"{__name__}.{home}", fromlist=(name,)), name)
    return found
