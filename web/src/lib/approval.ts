// What a task that waits for a person asks.

import type { Task } from './proto';
import { may, session } from './session.svelte';
import { textOf } from './values';

/** A question to people. */
export interface Asked {
  message: string;
  choices: string[];
  approvers: string[]; // users and roles; empty: whoever may run the tree, or answers approvals
  silence: string; // what becomes of the task when nobody answers; empty: nothing is said
  use: { agent: string; tool: string; arguments: string } | undefined; // the use of a tool that an agent wants to make, with its arguments as JSON
}

const noes = ['reject', 'refuse', 'deny', 'no'];
const yeses = ['approve', 'accept', 'yes'];

/** isNo reports whether a choice turns down what is asked for. */
export const isNo = (choice: string): boolean => noes.includes(choice);
/** isYes reports whether a choice grants what is asked for. */
export const isYes = (choice: string): boolean => yeses.includes(choice);

/** asks reads what a task asks. What can't be read is left out. */
export function asks(task: Task): Asked {
  let data: Record<string, unknown> = {};
  try {
    const value: unknown = JSON.parse(textOf(task.waiting?.data) || '{}');
    if (value && typeof value === 'object') data = value as Record<string, unknown>;
  } catch {
    // The task is shown without.
  }
  const text = (v: unknown) => (typeof v === 'string' ? v : '');
  const texts = (v: unknown) => (Array.isArray(v) ? v.filter((x) => typeof x === 'string') : []);
  const choices = texts(data.choices);
  const end = data.on_timeout as { choice?: unknown } | string | undefined;
  return {
    message: text(data.message),
    choices: choices.length ? choices : ['approve', 'reject'],
    approvers: texts(data.approvers),
    silence: typeof end === 'string' ? end : end && typeof end === 'object' ? text(end.choice) : '',
    use: text(data.tool) ? { agent: text(data.agent), tool: text(data.tool), arguments: JSON.stringify(data.arguments ?? null, null, 2) } : undefined,
  };
}

/** mayDecide reports whether the caller can answer, as far as the page can tell: the service decides. */
export function mayDecide(asked: Asked): boolean {
  const who = session.who;
  if (!who || who.kind === 'anonymous') return may('approvals.answer'); // nobody is asked who they are
  if (asked.approvers.length === 0) return may('approvals.answer') || may('trees.execute');
  return asked.approvers.includes(who.user ?? '') || (who.roles ?? []).some((r) => (r.namespace === who.namespace || r.namespace === '*') && asked.approvers.includes(r.role ?? ''));
}
