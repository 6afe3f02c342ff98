"""`voicefleet chaos --alerts`: each fault against a real Prometheus and Alertmanager with the shipped rules.

The `for:` times, windows and groups' intervals are those that are shipped; nothing is scaled. Targets are scraped as
often as the chart has it.

faults     what is broken, and how it is mended
scenarios  the table: each fault, the alert that must come first, and those that may come with it
timeline   pure: what Alertmanager showed at each look -> which alerts fired, when, for how long -> the verdict
stand      a fleet of several regions with callers, and Prometheus and Alertmanager beside it
run        the scenarios, those of other regions at the same time
"""
