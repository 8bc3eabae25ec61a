"""The report of a fleet as text, HTML, and tables."""
