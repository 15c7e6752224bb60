"""The contract of attention and feed-forward variants, as checks that any variant can be put to."""
