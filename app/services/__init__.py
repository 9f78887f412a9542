"""What the product does and when."""
