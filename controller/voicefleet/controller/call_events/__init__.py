"""Call events: ends calls in their logs, and tells the receivers of the settings of each event, signed and in order."""
