"""One requirement: which attempts concern it, which of them decides, and its verdict."""
