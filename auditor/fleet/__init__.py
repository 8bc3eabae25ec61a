"""A fleet of computers: summarise each source, put the summaries together, judge every host, report once."""
