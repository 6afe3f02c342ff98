"""Reads what people wrote: documents, validation errors, bounds of options, names that were renamed."""
