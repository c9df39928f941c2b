"""Real processes, killed at random and at named points, under load."""
