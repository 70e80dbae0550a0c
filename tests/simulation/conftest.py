import sys
from pathlib import Path

# The payers' worlds wait for webhooks with what the simulators' own tests have.
sys.path.insert(0, str(Path(__file__).parents[1] / "sandbox" / "gateways"))
