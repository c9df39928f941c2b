"""The rules of the game: events, state, deciders and time. No I/O."""
