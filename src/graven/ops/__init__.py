"""The language in which the layers speak: schemas, conditions and requests, all frozen values."""
