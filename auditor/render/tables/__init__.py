"""Tables: CSV, JSON Lines, and data frames."""
