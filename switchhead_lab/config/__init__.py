"""Configuration: what a run is, where it comes from and which identity it has."""
