"""Which installations are in the sources: contacts, pushes, roles, ports, and modes of the sites."""
