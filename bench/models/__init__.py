"""The one model, once per contender; each module also opens the store, with the same pragmas.

Where a model is used on two backends, a place with `://` in it is a URL of PostgreSQL.

These modules are what W10 starts, so they import nothing but their library.
"""
