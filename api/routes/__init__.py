"""The routes, one module per kind of thing; each handler is: who may, what was asked, command or query, answer."""
