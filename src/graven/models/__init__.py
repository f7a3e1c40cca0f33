"""Annotated classes become tracked models: fields, the generated code.

The class-level expressions of queries.
"""
