"""Read the logs of Configuration Manager: what each program reports of its own steps."""
