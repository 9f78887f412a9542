"""A multi-tenant backend that runs Claude Agent SDK agents on AWS Bedrock."""

NAME = "claude-agent-backend"
VERSION = "0.1.0"
