"""The report as data: its records, JSON form, comparison, and redaction."""
