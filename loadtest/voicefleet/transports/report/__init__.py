"""The result of the transport lab as JSON, table, figures and HTML page."""
