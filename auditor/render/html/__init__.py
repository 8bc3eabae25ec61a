"""The HTML report: templates and diagrams."""
