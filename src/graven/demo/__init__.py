"""What ``graven demo`` runs: the library on real input, checked against the input itself.

Nothing in here is public.
"""
