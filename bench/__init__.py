"""The benchmark: graven against the raw driver and five other libraries (`python -m bench`)."""
