"""The public shells, written by hand in their async form.

``graven._sync`` is made from these files.
"""
