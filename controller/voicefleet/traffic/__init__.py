"""Call arrivals: traces read from files, generated profiles, laws of durations. Pure."""
