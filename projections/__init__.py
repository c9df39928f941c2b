"""Events to rows, and the queries that read them."""
