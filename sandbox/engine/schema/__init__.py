"""The GraphQL schema of one role: types, fields, and what in SQL each field stands for."""
