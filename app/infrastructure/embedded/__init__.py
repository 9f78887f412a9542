"""PostgreSQL and Redis from wheels, run as children of this program when no addresses are set."""
