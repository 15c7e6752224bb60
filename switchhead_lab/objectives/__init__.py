"""Training objectives: fields, validation, targets and metrics.

Independent of torch: an objective names its scorer, imported when it is built.
"""
