"""The adaptive ladder: a worker that is short of CPU, or late, answers on a faster tier until it has recovered."""
