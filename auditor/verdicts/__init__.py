"""What the flows say about each documented requirement."""
