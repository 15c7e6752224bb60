"""Kernels of switchhead_lab."""
