"""How many examples random tests try: slow builds, as with sanitizers, try fewer."""

from __future__ import annotations

import os

EFFORT = float(os.environ.get("VENUEMESH_TEST_EFFORT", "1"))
