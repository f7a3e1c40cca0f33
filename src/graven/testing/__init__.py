"""Tools for tests of code that uses graven: rollback, crashes on command, and a clock to move.

Their fixtures for pytest are in :mod:`graven.testing.fixtures`, and are there without an import.
"""

from graven._hints import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graven.testing.clock import VirtualClock
    from graven.testing.crashing import CrashpointFailure, CrashReport, crashpoints
    from graven.testing.rolling import rolled_back, rolled_back_async
    from graven.testing.simulation import Crash, SimulatedSQLite

__all__ = [
    "Crash",
    "CrashReport",
    "CrashpointFailure",
    "SimulatedSQLite",
    "VirtualClock",
    "crashpoints",
    "rolled_back",
    "rolled_back_async",
]

_HOMES = {
    "Crash": "simulation",
    "CrashReport": "crashing",
    "CrashpointFailure": "crashing",
    "SimulatedSQLite": "simulation",
    "VirtualClock": "clock",
    "crashpoints": "crashing",
    "rolled_back": "rolling",
    "rolled_back_async": "rolling",
}


def __getattr__(name: str) -> Any:
    """Import a name when it is first used: pytest loads the plug-in of graven wherever it is."""
    if name not in _HOMES:
        raise AttributeError(f"module 'graven.testing' has no attribute {name!r}")
    home = __import__(f"{__name__}.{_HOMES[name]}", fromlist=(name,))
    found = globals()[name] = getattr(home, name)
    return found
