"""Tools for tests of code that uses graven: a store that crashes where it is told to."""

from graven.testing.simulation import Crash, SimulatedSQLite

__all__ = ["Crash", "SimulatedSQLite"]
