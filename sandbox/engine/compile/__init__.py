"""SQL for GraphQL fields: one statement a root field, whose single value is the answer's JSON."""
