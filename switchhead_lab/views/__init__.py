"""What commands print: results as tables and lines of text, one module per command."""
