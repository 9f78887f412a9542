"""The sandboxes' door, from the socket to the ledger, against the stand-in and a real database."""
