"""What travels: requests, responses, events."""
