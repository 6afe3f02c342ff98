"""Reading what people wrote: YAML and JSON documents, validation errors, bounds of options."""
