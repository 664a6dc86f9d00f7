"""A trained policy made smaller and faster."""
