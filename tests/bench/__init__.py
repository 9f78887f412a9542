"""The benches themselves: that they run, and judge rightly."""
