"""The demonstration: sets everything up, lets an agent do a task by the public API, and shows what happens."""
