"""The same attempt in several sources: matching, clocks, and where it was stopped."""
