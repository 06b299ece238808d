// What a run of a flow has come to: the jobs of FlowRun, as flows.JobOutcome has them.

export interface JobOutcome {
  id: string;
  status: string; // PENDING, RUNNING, SUCCESS, SKIPPED, FAILED, BLOCKED, CANCELLED
  reason?: string;
  reason_code?: string;
  error_kind?: string;
  outputs?: Record<string, unknown>;
  steps?: StepOutcome[];
}

export interface StepOutcome {
  id: string;
  status: string;
  reason?: string;
  reason_code?: string;
  error?: string;
  error_kind?: string;
  attempts?: number;
  result?: unknown;
  started_at?: string | null;
  completed_at?: string | null;
}

/** jobsOf reads the jobs of a run. What can't be read is an empty list. */
export function jobsOf(json: string): JobOutcome[] {
  try {
    const value: unknown = JSON.parse(json || '[]');
    return Array.isArray(value) ? (value as JobOutcome[]) : [];
  } catch {
    return [];
  }
}

const reasons: Record<string, string> = {
  no_data: 'it found nothing to do',
  when_false: 'its gate says no',
  'condition=false': 'its gate says no',
  flow_failed: 'a job above it has failed',
  not_selected: 'it was not asked for',
  dependency_success: 'nothing that it is for has happened',
  dependency_skipped: 'what it needs was skipped',
  dependency_failed: 'what it needs has failed',
  user: 'somebody has skipped it',
  locked: 'its lock was held',
  timeout: 'nobody answered in time',
  rejected: 'somebody has said no',
  handler_failed: 'a step that cleans up has failed',
};

/** meaning says a reason's word in a sentence; empty: the word says enough. */
export const meaning = (reason: string | undefined): string => reasons[reason ?? ''] ?? '';

/** The steps of a job's life: from the first start to the last end, in milliseconds; end 0: it goes on. */
export function spanOf(job: JobOutcome): { from: number; to: number } {
  const steps = job.steps ?? [];
  const starts = steps.map((s) => Date.parse(s.started_at ?? '')).filter(Number.isFinite);
  if (starts.length === 0) return { from: 0, to: 0 };
  const ends = steps.map((s) => Date.parse(s.completed_at ?? '')).filter(Number.isFinite);
  const open = job.status === 'RUNNING' || job.status === 'PENDING';
  return { from: Math.min(...starts), to: open || ends.length === 0 ? 0 : Math.max(...ends) };
}
