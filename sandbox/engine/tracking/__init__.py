"""What the metadata tracks, joined with what the database holds."""
