"""The callers' recorded speech, the detection of speech in a stream, and the clocks of streams."""
