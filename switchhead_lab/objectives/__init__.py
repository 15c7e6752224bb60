"""Training objectives: fields, checks, metrics, and all that the lab asks of an objective.

Free of torch: an objective names the module that scores it, which is imported when it is built.
"""
