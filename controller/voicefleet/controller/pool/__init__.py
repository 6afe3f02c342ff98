"""One pool of workers: observed, decided upon and scaled every tick."""
