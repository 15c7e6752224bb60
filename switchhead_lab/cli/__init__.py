"""The `lab` command: parse, call the library, print."""
