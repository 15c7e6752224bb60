"""Builds, loads and calls the operators' C++; holds their shared headers."""
