"""A scripted stand-in for the Bedrock runtime, for the demo, the tests and the benches."""
