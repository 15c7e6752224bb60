"""Checks and timings of everything that runs on a GPU, as one command for a machine lent briefly.

`python -m switchhead_lab.benchmark.gpu --out DIR` needs torch, triton, numpy, pydantic, tomli-w and
safetensors, and no installation of this package.
"""
