"""A policy's network, fast: one interface to every runtime."""
