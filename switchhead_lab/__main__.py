"""The program `lab`; `python -m switchhead_lab` is the same."""

import sys

from switchhead_lab.tracking.interruption import interruption


def main() -> None:
    """Take over signals before anything slow is imported, then run the application."""
    interruption.install()
    try:
        from switchhead_lab.cli.app import main as run_application
    except KeyboardInterrupt:
        sys.exit(interruption.exit_code)
    run_application()


if __name__ == "__main__":
    main()
