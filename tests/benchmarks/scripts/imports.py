"""The baseline of a controller restart: import the same modules and make one list call.

Arguments: the engine's address, a label to filter by, then the names of the modules in the order of their import.
"""

import sys
from importlib import import_module

host, label, *names = sys.argv[1:]
for name in names:
    try:
        import_module(name)
    except ImportError:
        # Optional modules whose import failed in the controller as well.
        continue

client = import_module("docker").APIClient(base_url=host, version="1.45")
print(len(client.containers(all=True, filters={"label": label})), flush=True)
