"""What a telephone sends beside a voice."""

KEYS = "0123456789*#ABCD"
"""The place of a key is its event of RFC 4733."""
