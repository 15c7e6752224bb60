"""Documents of zero-shot tasks: published sets in local files, and pocket tasks.

Published sets (BLiMP, LAMBADA, Children's Book Test) are read from a folder of the user in their
published formats. Pocket tasks, all named `pocket_*`, are made from the test split of a corpus and
from a small grammar. They have the form of the published tasks at a size that models trained for
minutes can solve in part; their accuracies are not comparable to published ones.
"""
