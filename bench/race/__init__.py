"""The parts of bench/engine.py: one world, several servers over it, and one way to load them."""
