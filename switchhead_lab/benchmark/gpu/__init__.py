"""Checks and timings of all GPU code in one command, for a machine available only briefly.

`python -m switchhead_lab.benchmark.gpu --out DIR` needs torch, triton, numpy, pydantic, tomli-w and
safetensors; this package need not be installed.
"""
