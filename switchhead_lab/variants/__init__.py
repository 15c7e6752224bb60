"""Attention and feed-forward variants: fields, validation, parameter counts and costs.

Independent of torch: a variant names the module that computes it, imported when it is built.
"""
