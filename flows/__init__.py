"""Prefect flows and the command line over `pipeline`; nothing else knows Prefect."""
