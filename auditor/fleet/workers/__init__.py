"""Processes that read and evaluate in parallel, here or on a Dask cluster."""
