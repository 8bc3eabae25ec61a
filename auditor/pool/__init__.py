"""Work on many files in many processes, here or on a cluster: whatever one file does, all others get done."""
