"""What the parts of voicefleet agree on: values, schemas, names of keys and metrics, and the error tree. Pure."""
