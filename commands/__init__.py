"""Load, decide, append: one short function per command, and the ports they need."""
