"""The contract of attention and feed-forward variants, as checks that run on any variant."""
