"""Documented requirements: rulesets, the settings of a site, and catalogs of codes and ports."""
