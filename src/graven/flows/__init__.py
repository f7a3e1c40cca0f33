"""Logic that talks to the world, written once.

Generators that yield requests and receive replies.
"""
