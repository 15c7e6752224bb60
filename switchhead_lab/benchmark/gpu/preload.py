"""Imports everything that workers need; imported once, in the process they are forked from."""

import importlib

from switchhead_lab.benchmark.gpu.checkout import make_kernels_importable
from switchhead_lab.benchmark.gpu.plan import PARTS

make_kernels_importable()
for part in PARTS:
    importlib.import_module(part.module)
importlib.import_module("switchhead_lab.benchmark.gpu.worker")
