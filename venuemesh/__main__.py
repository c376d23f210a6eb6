"""`python -m venuemesh`, and the entry point of the `venuemesh` script: Ctrl-C during start-up prints no traceback."""

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
