"""What the product promises of its speed and size, measured against the floor in the same run."""
