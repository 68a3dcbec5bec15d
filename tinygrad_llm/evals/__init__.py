"""What a model can do, measured by the protocols that make a figure comparable."""
