// Instants as clocks of a time zone read.

const formats = new Map<string, Intl.DateTimeFormat | undefined>();

function formatOf(zone: string): Intl.DateTimeFormat | undefined {
  if (!formats.has(zone)) {
    try {
      formats.set(zone, new Intl.DateTimeFormat('en-US', { weekday: 'short', month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23', timeZoneName: 'short', ...(zone ? { timeZone: zone } : {}) }));
    } catch {
      formats.set(zone, undefined); // the browser does not know the zone
    }
  }
  return formats.get(zone);
}

/** The zone of whoever looks, as IANA's database calls it. */
export const myZone = (): string => new Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC';

/** An instant in a zone: Wed Dec 2 02:00 GMT+1. Empty: the browser does not know the zone. */
export function inZone(ms: number, zone: string): string {
  const parts = formatOf(zone)?.formatToParts(ms);
  if (!parts) return '';
  const of = (type: Intl.DateTimeFormatPartTypes) => parts.find((p) => p.type === type)?.value ?? '';
  const seconds = of('second') === '00' ? '' : `:${of('second')}`;
  return `${of('weekday')} ${of('month')} ${of('day')} ${of('hour')}:${of('minute')}${seconds} ${of('timeZoneName')}`;
}

/** sameClock reports whether clocks of a zone read as mine at an instant. */
export const sameClock = (ms: number, zone: string): boolean => inZone(ms, zone).replace(/ \S+$/, '') === inZone(ms, '').replace(/ \S+$/, '');

/** The milliseconds of a time as settings have it: 90 (seconds), 90s, 1h30m. 0: it is none. */
export function timeOf(text: string): number {
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * 1000;
  const units: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
  let sum = 0;
  const rest = text.replace(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g, (_, n: string, unit: string) => {
    sum += Number(n) * units[unit]!;
    return '';
  });
  return rest ? 0 : sum;
}
