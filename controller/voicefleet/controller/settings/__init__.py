"""The controller's settings file: one frozen tree, whose fields say their unit, default and meaning."""
