"""Attention and feed-forward variants: fields, checks, and all that the lab asks of a variant.

Free of torch: a variant names the module that computes it, which is imported when it is built.
"""
