"""Simulators of payment gateways, served by one process.

Every module or package here, except `server`, is one simulator: its file name is its name
and its place in the URL, and it holds a class `Simulator` (see `server/simulator.py`).
Adding a gateway is adding a file; nothing is registered.
"""

import pkgutil
from importlib import import_module

from sandbox.gateways.server.simulator import House, Options, Simulator

NOT_SIMULATORS = {"server", "__main__"}


def names() -> list[str]:
    """Name every simulator there is, in alphabetical order."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if _is_simulator(module))


def load(name: str, house: House, options: Options) -> Simulator:
    """Build one simulator by its name."""
    simulator: Simulator = import_module(f"{__name__}.{name}").Simulator(house, options)
    return simulator


def _is_simulator(module: pkgutil.ModuleInfo) -> bool:
    return module.name not in NOT_SIMULATORS
