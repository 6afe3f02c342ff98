"""The worker's main process: it registers with LiveKit, takes calls into slots, reports, and drains."""
