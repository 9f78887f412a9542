"""The tests, in the layers of the program."""
