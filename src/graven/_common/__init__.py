"""What the shells of both colours share: the current session, live views, explanations."""
