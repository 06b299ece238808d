// Few at a time: what many rows of a list ask for, each once it is seen.

let free = 4;
const waiting: (() => void)[] = [];

/** inTurn does some work once fewer than four others are at it. */
export async function inTurn<T>(work: () => Promise<T>): Promise<T> {
  if (free === 0) await new Promise<void>((begin) => waiting.push(begin));
  else free--;
  try {
    return await work();
  } finally {
    const next = waiting.shift();
    if (next) next();
    else free++;
  }
}
