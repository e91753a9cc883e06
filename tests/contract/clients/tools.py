"""The tools that FastMCP makes of the document, one for each operation; one of them is run."""

import asyncio
import json
import os
import pathlib
import sys

import httpx2
from fastmcp import Client, FastMCP


async def main(document: dict) -> None:
    headers = {"Authorization": f"Bearer {os.environ['AFFZERO_TOKEN']}", "X-Org-Id": "client-tools"}
    async with httpx2.AsyncClient(base_url=os.environ["AFFZERO_URL"], headers=headers) as http:
        async with Client(FastMCP.from_openapi(document, client=http, name="affzero")) as tools:
            names = {tool.name for tool in await tools.list_tools()}
            operations = {one["operationId"] for path in document["paths"].values() for one in path.values()}
            assert names == operations, names ^ operations
            created = await tools.call_tool(
                "create_connection", {"name": "Made by a tool", "platform": "demo", "X-Org-Plan": "pro"}
            )
            identity = created.structured_content["id"]
            question = {"id": identity, "group_by": ["country", "date"], "preset": "last_7_days"}
            answer = await tools.call_tool("connection_stats", question)
            assert answer.structured_content["row_count"] > 0, answer
            await tools.call_tool("delete_connection", {"id": identity})


asyncio.run(main(json.loads(pathlib.Path(sys.argv[1]).read_text())))
