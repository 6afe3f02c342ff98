"""What the controller knows of each region."""
