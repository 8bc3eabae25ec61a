"""What Python users and the command line call: audit, batch, evidence, charts."""
