"""The contract: what every backend of graven keeps, written once, in blocking style.

It is shipped so that whoever writes a backend can prove it. Name the backends in the setting
``graven_backends`` of pytest, as ``module:Class``, and run::

    pytest --pyargs graven.testing.contract.suite
"""
