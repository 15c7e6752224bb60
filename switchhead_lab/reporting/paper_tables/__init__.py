"""Tables of the paper, each assembled from every sweep that reproduces rows of it."""
