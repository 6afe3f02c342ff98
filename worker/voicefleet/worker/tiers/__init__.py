"""Tiers: named speed/quality settings of the pipeline, read from YAML."""
