"""Conversations, their messages and their runs."""
