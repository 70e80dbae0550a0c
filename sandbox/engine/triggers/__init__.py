"""Event and scheduled triggers: what is captured, how it is delivered, when it is tried again."""
