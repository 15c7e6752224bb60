"""Exported models: self-contained folders that need neither workspace nor run directory."""
