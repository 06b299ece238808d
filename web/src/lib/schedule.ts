// How schedules are said in words.

import type { Schedule } from './proto';
import { visible } from './values';

/** What a run waits for, or goes by, when others of the schedule have not ended. */
export const overlaps: Record<string, string> = {
  skip: 'the instant has no run',
  queue_one: 'one run waits until the other has ended',
  allow: 'it runs beside the other',
  cancel_other: 'the other is cancelled first',
};

/** overlapOf is what counts, also where the schedule says nothing. */
export const overlapOf = (s: Schedule): string => s.overlap || (s.afterSuccess || s.on ? 'allow' : 'skip');

/** begins says what begins runs: a crontab, a time between them, another schedule, or a call. */
export function begins(s: Schedule): string {
  if (s.cron) return visible(s.cron);
  if (s.every) return `every ${visible(s.every)}`;
  if (s.on?.webhook) return 'when its webhook is called';
  if (s.on) return `after ${visible(s.on.schedule ?? '')} ${(s.on.outcome ?? []).map(visible).join(' or ') || 'completed'}`;
  return '–';
}
