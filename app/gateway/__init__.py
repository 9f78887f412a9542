"""The sandboxes' door: identity is the socket, requests are rebuilt, every token is metered."""
