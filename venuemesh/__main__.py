"""`python -m venuemesh`, and what the `venuemesh` script calls: Ctrl-C during start-up is an end, not a traceback."""

import signal
import sys


def main() -> None:
    """Run the command line."""
    try:
        from .cli.app import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


if __name__ == "__main__":
    main()
