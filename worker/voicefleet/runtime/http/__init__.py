"""The HTTP server that every component shares, and the client of the controller's API."""
