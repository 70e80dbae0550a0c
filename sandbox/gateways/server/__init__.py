"""What all simulators share: state, clock and timers, webhook delivery, faults, pages.

Nothing in this package knows any gateway.
"""
