"""From files and hub data sets to checked examples."""
