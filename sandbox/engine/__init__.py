"""A GraphQL engine over Postgres that reads Hasura metadata and keeps Hasura's contract."""
