"""The one model, once per contender; each module also opens the store, with the same pragmas.

These modules are what W10 starts, so they import nothing but their library.
"""
