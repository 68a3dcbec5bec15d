"""Tools with which a gradient explains itself."""
