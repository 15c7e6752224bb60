"""The command `lab` as one object, for the command line reference and tests."""

import typer

from switchhead_lab.cli.app import app

command = typer.main.get_command(app)
