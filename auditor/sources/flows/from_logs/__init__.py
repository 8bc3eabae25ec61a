"""Flows of logs: attempts put together from their rows or events."""
