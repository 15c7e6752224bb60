"""Output of commands: results as tables and lines of text, one module per command."""
