"""The runs of a configuration: planned, searched, claimed, carried out, shown."""
