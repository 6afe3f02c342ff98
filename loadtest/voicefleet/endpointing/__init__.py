"""When a detector thinks that a caller has finished: how often it cuts in, and how long it waits."""
