"""Kernels of switchhead_lab: rows times the weights of the experts they are routed to."""
