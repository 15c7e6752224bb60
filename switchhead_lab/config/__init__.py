"""Configuration: schemas of runs, sweeps and workspaces, their files and identities."""
