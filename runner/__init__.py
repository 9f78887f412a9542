"""The program inside the sandbox: one live Claude agent behind one unix socket."""

__version__ = "0.1.0"
