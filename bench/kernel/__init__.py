"""The race of postings: the ledger's function beside the barest one and two peers."""
