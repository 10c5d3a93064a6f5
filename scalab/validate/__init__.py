"""The role that doubles the workers, measures each step, and gives the verdict."""
