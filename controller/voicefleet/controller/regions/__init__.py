"""What the controller knows of each region, and which region a new call goes to."""
