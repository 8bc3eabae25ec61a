"""Reading files piece by piece, and what is said about damage."""
