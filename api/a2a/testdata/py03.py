"""The Python SDK of A2A 0.3 calls an agent over each binding. It prints one line of what it saw for each."""
import asyncio, json, sys, uuid
import grpc, httpx
from a2a.client import ClientConfig, ClientFactory, A2ACardResolver
from a2a.types import Message, Part, DataPart, Role, TaskQueryParams, TaskIdParams

TREE = {"tasks": [{"name": "a", "dependencies": ["b"], "schemas": {"method": "aggregate_results_executor"}}, {"name": "b", "parent_id": "a"}]}
SLOW = {"tasks": [{"name": "slow", "schemas": {"method": "command_executor"}, "inputs": {"command": "sleep 60"}}]}


def message(data):
    return Message(message_id=str(uuid.uuid4()), role=Role.user, parts=[Part(root=DataPart(data=data))])


async def calls(url, binding):
    async with httpx.AsyncClient(timeout=30) as http:
        card = await A2ACardResolver(http, url).get_agent_card()
        config = dict(httpx_client=http, supported_transports=[binding], use_client_preference=True, grpc_channel_factory=grpc.aio.insecure_channel)
        plain = ClientFactory(ClientConfig(streaming=False, **config)).create(card)
        streaming = ClientFactory(ClientConfig(streaming=True, **config)).create(card)
        seen = {"skills": len(card.skills)}
        async for task, _ in plain.send_message(message(TREE)):
            pass
        seen["send"] = task.status.state.value
        seen["result"] = task.artifacts[0].parts[0].root.data["task_count"]
        updates = []
        async for _, update in streaming.send_message(message(TREE), request_metadata={"stream": True}):
            updates.append(update)
        seen["stream"] = [u.kind if u else "task" for u in (updates[0], *updates[-2:])]
        seen["last"] = [updates[-1].status.state.value, updates[-1].final, sum(bool(u and getattr(u, "final", False)) for u in updates)]
        seen["get"] = (await plain.get_task(TaskQueryParams(id=task.id))).status.state.value
        async for _, update in streaming.resubscribe(TaskIdParams(id=task.id)):
            pass
        seen["subscribe"] = update.status.state.value
        running = None
        async for one, _ in streaming.send_message(message(SLOW)):
            running = one.id
            break
        seen["cancel"] = (await plain.cancel_task(TaskIdParams(id=running))).status.state.value
        async for task, _ in plain.send_message(message({"name": "stored"}), request_metadata={"method": "tasks.create"}):
            seen["create"] = task.status.state.value
        try:
            await plain.get_task(TaskQueryParams(id="nope"))
        except Exception as e:
            seen["unknown"] = type(e).__name__
        print(json.dumps({binding: seen}))


for binding in sys.argv[2:]:
    asyncio.run(calls(sys.argv[1], binding))
