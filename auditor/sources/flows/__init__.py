"""Flows: both directions of one five-tuple, from packets or from log entries."""
