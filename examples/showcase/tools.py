"""The shop's own executor: converts orders to euros, and renders the page of the report."""

import hashlib
import hmac

from taskgrove_executor import Permanent, serve


def convert(call):
    rates = {"EUR": 1, **call.inputs["rates"]["response"]}
    orders = []
    for order in call.inputs["orders"]["json"]:
        if order["currency"] not in rates:
            raise Permanent("order %d: there is no rate for %s" % (order["id"], order["currency"]))
        euros = round(order["amount"] / rates[order["currency"]], 2)
        call.log("order %d: %.2f %s is %.2f EUR" % (order["id"], order["amount"], order["currency"], euros))
        orders.append({"id": order["id"], "country": order["country"], "euros": euros})
        call.progress(len(orders) / len(call.inputs["orders"]["json"]))
    lines = ["%d,%s,%.2f" % (o["id"], o["country"], o["euros"]) for o in orders]
    return {"params": {"orders": orders}, "content": "\n".join(lines) + "\n"}


def render(call):
    rows = call.inputs["load"]["results"][-1]["rows"]
    forecast = call.inputs.get("forecast", {})
    page = ["# Sales of 2030-01-02", "", "| country | orders | EUR | tomorrow |", "|---|---:|---:|---:|"]
    for row in rows:
        page.append("| %s | %s | %s | %s |" % (row["country"], row["orders"], euros(row["euros"]), euros(forecast.get(row["country"], ""))))
    total = euros(sum(float(row["euros"]) for row in rows))
    page += ["| total | %d | %s | |" % (sum(row["orders"] for row in rows), total), "", "The largest orders:", ""]
    for line in call.inputs["largest"]["stdout"].splitlines():
        page.append("- order %s from %s: %s EUR" % tuple(line.split(",")))
    text = "\n".join(page) + "\n"
    signature = hmac.new(call.inputs["key"].encode(), text.encode(), hashlib.sha256).hexdigest()
    text += "\nSigned: %s\n" % signature
    call.log("the page has %d lines and is signed" % text.count("\n"))
    return {"content": text, "stdin": text, "message": {"type": "post", "text": "Sales of 2030-01-02: %s EUR" % total}}


def euros(amount):
    return "%.2f" % float(amount) if amount != "" else ""


def run(call):
    return {"convert": convert, "render": render}[call.inputs["step"]](call)


serve(
    run,
    id="shop_tools",
    name="Tools of the shop",
    description="Converts orders to euros, and renders the report",
    concurrency=4,
    secrets=True,
    inputs={
        "type": "object",
        "properties": {
            "step": {"enum": ["convert", "render"], "description": "What to do"},
            "key": {"type": "string", "description": "Of render: the key that signs the page"},
        },
        "required": ["step"],
    },
)
