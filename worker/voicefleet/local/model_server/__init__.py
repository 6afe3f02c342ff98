"""One process per worker that loads each speech model once, and its clients in the job processes."""
