"""GraphQL documents: parsed, checked against a role's schema while they are walked, coerced."""
