"""The conversation as it is stored, handed over and resumed by the next worker."""
