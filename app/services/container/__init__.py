"""Who gets which sandbox, and when it ends."""
