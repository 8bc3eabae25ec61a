"""Firewall logs and event logs: lines and records to entries."""
