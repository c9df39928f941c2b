"""What is shipped, and the rules of the house."""
