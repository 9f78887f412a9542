"""Tests of the files of conversations."""
