"""The parts of bench/webhooks.py: signed webhooks, the services that take them, one load."""
