"""Tests of the stand-in for the Bedrock runtime."""
