// JSON objects that people write.

/** What is wrong with a text that is to be a JSON object; empty: nothing, or there is no text. */
export function objectFault(text: string): string {
  if (!text.trim()) return '';
  try {
    const value: unknown = JSON.parse(text);
    return value && typeof value === 'object' && !Array.isArray(value) ? '' : 'This must be a JSON object, as {"day": "2026-11-30"}.';
  } catch (err) {
    return `This is no JSON: ${err instanceof Error ? err.message : String(err)}`;
  }
}

/** A key for a call that is made once, however often it is sent. */
export function onceKey(): string {
  return `page-${Array.from(crypto.getRandomValues(new Uint8Array(12)), (b) => b.toString(16).padStart(2, '0')).join('')}`;
}
