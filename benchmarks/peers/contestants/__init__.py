"""One script per contestant, each run by its own environment. They share numpy and this package alone."""
