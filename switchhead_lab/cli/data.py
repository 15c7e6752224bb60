"""Corpora: list and prepare."""
import typer
app = typer.Typer()
