"""Files that come with a message, over HTTP."""
