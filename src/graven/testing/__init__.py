"""Tools for tests of code that uses graven: a store that crashes where it is told to."""

from graven.testing.simulation import Crash, CrashingSQLite, Performed

__all__ = ["Crash", "CrashingSQLite", "Performed"]
