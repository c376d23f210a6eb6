"""`python -m venuemesh.exchange`: the local exchange in a separate process."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ..model.errors import Misconfigured
from .options import parse
from .server import run


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until SIGINT or SIGTERM; return the exit status: 0, or 2 for a wrong option."""
    try:
        options = parse(sys.argv[1:] if arguments is None else arguments)
    except Misconfigured as error:
        print(error, file=sys.stderr)
        return 2
    return run(options)


if __name__ == "__main__":
    sys.exit(main())
