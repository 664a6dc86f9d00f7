"""How fast things are on this machine, beside the plain way in the same run."""
