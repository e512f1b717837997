"""Parallel bottlenecks as further neurons of the FFN: what can be folded, and how."""
