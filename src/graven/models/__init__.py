"""Annotated classes become tracked models: fields, generated code, the expressions of queries."""
