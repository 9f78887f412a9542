"""The model service: credentials, signing, calling, and the meter that reads its answers."""
