"""Runs the reference's own client, ApFlowApiExecutor: each line of input is its inputs, each line of output its answer."""
import asyncio
import json
import sys

from aipartnerupflow.extensions.apflow.api_executor import ApFlowApiExecutor


async def main():
    for line in sys.stdin:
        try:
            answer = await ApFlowApiExecutor().execute(json.loads(line))
        except Exception as fault:  # what it raises is an answer, too
            answer = {"raised": f"{type(fault).__name__}: {fault}"}
        print(json.dumps(answer), flush=True)


asyncio.run(main())
