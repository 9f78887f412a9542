"""The whole product: a real server, real sandboxes, the real CLI, and the stand-in for the model service."""
