"""Keys made by the client: UUIDs of version 7, which grow with time.

So new rows land at the end of the index.
"""

from __future__ import annotations

import sys
from uuid import UUID

__all__ = ["UUID", "uuid7"]

if sys.version_info >= (3, 14):
    from uuid import uuid7
else:
    from uuid_utils.compat import uuid7
