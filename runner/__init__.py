"""The program inside the sandbox: one live Claude agent behind one unix socket."""
