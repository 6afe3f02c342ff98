"""From frames sent and received to delay, loss, blocking and quality. Pure."""
