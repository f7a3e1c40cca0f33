"""The only modules that do input and output: each performs requests on one store."""
