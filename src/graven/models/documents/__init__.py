"""The document codec: object graphs to documents and back, cycles and all."""
