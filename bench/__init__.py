"""How fast the catalog is, against whom, all in one run on one machine."""
