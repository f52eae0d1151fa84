"""Makes things of every kind, and writes their names to files: one for each parameter of a path, a name in quotes a line.

The checker of the API description takes most of its names from these files, so that it reaches what is there.
"""

import json
import pathlib
import sys
import time
import urllib.request

api, directory = f"{sys.argv[1]}/api/v1", pathlib.Path(sys.argv[2])
POOL, NAMESPACE = "things", "tenant"
# As many as there are kinds of calls that take one away.
IMAGES = [f"image-{number}" for number in range(8)]
TRASHED = 6
MIB = 1 << 20


def call(method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(api + path, data, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def fill(scope):
    """Fills a pool or one of its namespaces; the ids of what is in its trash, and of an operation."""
    for name in IMAGES:
        call("POST", f"{scope}/images", {"name": name, "sizeBytes": 8 * MIB, "metadata": {"key": "value"}})
        call("POST", f"{scope}/images/{name}/snapshots", {"name": "snapshot"})
    call("POST", f"{scope}/groups", {"name": "group"})
    call("POST", f"{scope}/groups/group/images", {"image": IMAGES[0]})
    call("POST", f"{scope}/groups/group/snapshots", {"name": "snapshot"})
    call("PUT", f"{scope}/trash/schedule", {"interval": "366d"})
    trashed = []
    for number in range(TRASHED):
        call("POST", f"{scope}/images", {"name": f"trashed-{number}", "sizeBytes": MIB})
        trashed.append(call("DELETE", f"{scope}/images/trashed-{number}?retention=1d")["id"])
    operation = call("POST", f"{scope}/images/{IMAGES[1]}/sparsify")["id"]
    while call("GET", f"/operations/{operation}")["state"] in ("queued", "running"):
        time.sleep(0.1)
    return trashed, operation


call("PUT", f"/pools/{POOL}")
call("PUT", f"/pools/{POOL}/namespaces/{NAMESPACE}")
filled = [fill(f"/pools/{POOL}"), fill(f"/pools/{POOL}/namespaces/{NAMESPACE}")]
names = {
    "pool": [POOL],
    "namespace": [NAMESPACE],
    "image": IMAGES,
    "snapshot": ["snapshot"],
    "group": ["group"],
    "key": ["key"],
    "id": [id for trashed, _ in filled for id in trashed],
    "operation": [operation for _, operation in filled],
}
for parameter, values in names.items():
    (directory / parameter).write_text("".join(f"\"{value}\"\n" for value in values))
