"""What clients send and get: request and answer models, with descriptions and examples for the documentation."""
