"""What played tasks are worth: scores, how sure they are, and what to choose between. Records in, figures out."""
