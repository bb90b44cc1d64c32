"""A user's program with KServe's client: `kserve_client.py URL` asks the model `admission` and prints JSON.

It runs in an environment of its own and knows nothing of this project.
"""

import asyncio
import json
import sys
from typing import Any

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

COLUMNS = (
    ("gre", "INT64", [660, 520]),
    ("gpa", "FP64", [3.67, 2.93]),
    ("rank", "INT64", [1, 4]),
)


def request(*, binary: bool, **changes: list[float]) -> InferRequest:
    """Two rows, as tensors behind the JSON or in it."""
    inputs = []
    for name, datatype, values in COLUMNS:
        tensor = InferInput(name, [2], datatype)
        tensor.set_data_from_numpy(np.array(changes.get(name, values)), binary_data=binary)
        inputs.append(tensor)
    return InferRequest("admission", inputs, request_id="mine")


async def main(url: str) -> dict[str, Any]:
    """What the client makes of the answers."""
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
        said: dict[str, Any] = {
            "live": await client.is_server_live(url),
            "ready": await client.is_server_ready(url),
            "model": await client.is_model_ready(url, "admission"),
            "unknown": await client.is_model_ready(url, "weather"),
        }
        for binary in (True, False):
            found = await client.infer(url, request(binary=binary), model_name="admission")
            outputs = {tensor.name: tensor for tensor in found.outputs}
            said["binary" if binary else "json"] = {
                "id": found.id,
                "probability": outputs["probability"].as_numpy().tolist(),
                "admitted": outputs["admitted"].as_numpy().tolist(),
            }
        try:
            await client.infer(url, request(binary=False, gpa=[5.0, 3.0]), model_name="admission")
        except httpx.HTTPStatusError as error:
            said["error"] = str(error)
    return said


print(json.dumps(asyncio.run(main(sys.argv[1]))))  # noqa: T201
