"""A fleet of computers: summarize each source, put the summaries together, judge every host, report once."""
