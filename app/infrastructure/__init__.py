"""The outside world: one module or package per vendor contract."""
