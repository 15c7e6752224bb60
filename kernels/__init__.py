"""Kernels of switchhead_lab: products of rows with the weights of the experts they are routed to."""
