"""A multi-tenant backend that runs Claude Agent SDK agents on AWS Bedrock."""
