"""Where bottlenecks go: the rows of known families, and what a call shows of the structure of others."""
