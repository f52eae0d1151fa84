"""Walks through the API with a client that was generated from its description.

Every answer is read by the types that the generator made: what is not as described fails here.
"""

import io
import sys

from sparrow_client.api.cluster import get_cluster
from sparrow_client.api.data import export_image, import_image
from sparrow_client.api.images import create_image, delete_image, get_image, list_images, resize_image
from sparrow_client.api.operations import get_operation, list_operations
from sparrow_client.api.pools import list_pools, put_pool
from sparrow_client.api.snapshots import create_snapshot, list_snapshots
from sparrow_client.api.trash import list_trash
from sparrow_client.client import Client
from sparrow_client.models import (
    Image,
    ImageName,
    ImageView,
    NewImage,
    NewSnapshot,
    Operation,
    OperationState,
    ProblemDocument,
    ResizeImage,
    TrashedImage,
)
from sparrow_client.types import File

client = Client(base_url=sys.argv[1], raise_on_unexpected_status=True)
MIB = 1 << 20


def expect(answer, kind):
    assert isinstance(answer, kind), answer
    return answer


put_pool.sync_detailed("generated", client=client)
assert get_cluster.sync(client=client).entity == "client.admin"
assert "generated" in [pool.name for pool in list_pools.sync(client=client).items]

made = expect(create_image.sync("generated", client=client, body=NewImage(name="a", size_bytes=8 * MIB)), Image)
assert expect(get_image.sync("generated", "a", client=client), Image).id == made.id
names = list_images.sync("generated", client=client).items
assert [expect(image, ImageName).name for image in names] == ["a"]
full = list_images.sync("generated", client=client, view=ImageView.FULL).items
assert [expect(image, Image).size_bytes for image in full] == [8 * MIB]

data = bytes(range(256)) * 4096
imported = import_image.sync("generated", "b", client=client, body=File(payload=io.BytesIO(data)), size_bytes=len(data))
assert expect(imported, Image).size_bytes == len(data)
exported = export_image.sync("generated", "b", client=client)
assert exported.payload.read() == data

create_snapshot.sync("generated", "a", client=client, body=NewSnapshot(name="s"))
assert [snapshot.name for snapshot in list_snapshots.sync("generated", "a", client=client).items] == ["s"]

shrunk = resize_image.sync("generated", "b", client=client, body=ResizeImage(size_bytes=MIB // 2, allow_shrink=True))
operation = get_operation.sync(expect(shrunk, Operation).id, client=client, wait="30s")
assert operation.state == OperationState.SUCCEEDED, operation
assert operation.id in [known.id for known in list_operations.sync(client=client).items]

trashed = expect(delete_image.sync("generated", "b", client=client), TrashedImage)
assert trashed.id in [image.id for image in list_trash.sync("generated", client=client).items]

missing = expect(get_image.sync("generated", "none", client=client), ProblemDocument)
assert missing.type_ == "urn:sparrow:problem:image-not-found" and missing.status == 404
small = expect(resize_image.sync("generated", "a", client=client, body=ResizeImage(size_bytes=1)), ProblemDocument)
assert small.type_ == "urn:sparrow:problem:conflict" and small.correction
print("a generated client walked through the API")
