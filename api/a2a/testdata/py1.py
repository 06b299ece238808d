"""The Python SDK of A2A 1.x calls an agent over each binding. It prints one line of what it saw for each."""
import asyncio, json, sys, uuid
import grpc, httpx
from google.protobuf.json_format import MessageToDict, ParseDict
from a2a.client import ClientConfig, ClientFactory, A2ACardResolver
from a2a.types import SendMessageRequest, GetTaskRequest, CancelTaskRequest, SubscribeToTaskRequest, ListTasksRequest, TaskState


def message(data, **metadata):
    return ParseDict({"message": {"messageId": str(uuid.uuid4()), "role": "ROLE_USER", "parts": [{"data": data}]}, "metadata": metadata}, SendMessageRequest())


TREE = {"tasks": [{"name": "a", "dependencies": ["b"], "schemas": {"method": "aggregate_results_executor"}}, {"name": "b", "parent_id": "a"}]}
SLOW = {"tasks": [{"name": "slow", "schemas": {"method": "command_executor"}, "inputs": {"command": "sleep 60"}}]}


async def calls(url, binding):
    async with httpx.AsyncClient(timeout=30) as http:
        card = await A2ACardResolver(http, url).get_agent_card()
        config = dict(httpx_client=http, supported_protocol_bindings=[binding], use_client_preference=True, grpc_channel_factory=grpc.aio.insecure_channel)
        plain = ClientFactory(ClientConfig(streaming=False, **config)).create(card)
        streaming = ClientFactory(ClientConfig(streaming=True, **config)).create(card)
        seen = {"skills": len(card.skills)}
        async for event in plain.send_message(message(TREE)):
            task = event.task
        seen["send"] = TaskState.Name(task.status.state)
        seen["result"] = MessageToDict(task.artifacts[0].parts[0].data)["task_count"]
        events = []
        async for event in streaming.send_message(message(TREE, stream=True)):
            events.append(event)
        kinds = [event.WhichOneof("payload") for event in events]
        seen["stream"] = [kinds[0], *kinds[-2:]]
        seen["last"] = TaskState.Name(events[-1].status_update.status.state)
        got = await plain.get_task(GetTaskRequest(id=task.id))
        seen["get"] = TaskState.Name(got.status.state)
        listed = await plain.list_tasks(ListTasksRequest(context_id=task.context_id))
        seen["list"] = len(listed.tasks)
        replayed = []
        async for event in streaming.subscribe(SubscribeToTaskRequest(id=task.id)):
            replayed.append(event)
        seen["subscribe"] = TaskState.Name(replayed[-1].status_update.status.state)
        running = None
        async for event in streaming.send_message(message(SLOW)):
            running = event.task.id
            break
        seen["cancel"] = TaskState.Name((await plain.cancel_task(CancelTaskRequest(id=running))).status.state)
        async for event in plain.send_message(message({"name": "stored"}, method="tasks.create")):
            seen["create"] = TaskState.Name(event.task.status.state)
        try:
            await plain.get_task(GetTaskRequest(id="nope"))
        except Exception as e:
            seen["unknown"] = type(e).__name__
        print(json.dumps({binding: seen}))


for binding in sys.argv[2:]:
    asyncio.run(calls(sys.argv[1], binding))
