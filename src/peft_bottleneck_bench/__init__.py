"""The benchmark: trains methods on tasks as a configuration says, and leaves one record per run."""
