"""What no tenant may see or do."""
