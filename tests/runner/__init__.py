"""Tests of the program inside the sandbox."""
