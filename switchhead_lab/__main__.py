"""Entry point of `lab` and `python -m switchhead_lab`."""

import sys

from switchhead_lab.tracking.interruption import interruption


def main() -> None:
    """Install signal handlers before any slow import, then run the application."""
    interruption.install()
    try:
        from switchhead_lab.cli.app import main as run_application
    except KeyboardInterrupt:
        sys.exit(interruption.exit_code)
    run_application()


if __name__ == "__main__":
    main()
