"""Which region a new call goes to, and why: pure decisions over what is known of the regions."""
