"""`python -m switchhead_lab` is `lab`."""

from switchhead_lab.cli.app import main

main()
