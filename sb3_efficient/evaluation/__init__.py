"""Policies compared: returns with confidence, agreement, latency, bytes."""
