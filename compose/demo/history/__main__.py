"""Write measured.json: `python -m plimsoll.compose.demo.history` (`make demo-history`)."""

import json
import sys
from pathlib import Path

from plimsoll.compose.demo.history.measure import measured
from plimsoll.compose.inputs import DEMO_OBJECTIVES, read_objectives

if __name__ == "__main__":
    found = measured(read_objectives(str(DEMO_OBJECTIVES)), lambda text: print(text, flush=True))
    note = "SIMULATED: five minutes each of the demo's pools in the engine model, by `make demo-history`. No number comes from a GPU."
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "measured.json"
    target.write_text(json.dumps({"note": note, "pools": found}, indent=1) + "\n", encoding="utf-8")
