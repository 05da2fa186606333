"""Everything the bridge keeps, in PostgreSQL: one module of verbs per noun, and the tables in `schema`."""
