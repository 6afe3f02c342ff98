"""What a call reports while it lasts: metrics, spans, interruptions and RTP statistics."""
