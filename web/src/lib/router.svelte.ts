// Where the page is: the whole state of a view is in the URL, so that a link shows somebody else the same.

/** A place: the words of its path, decoded, and its query. */
export interface Place {
  path: string[];
  query: URLSearchParams;
}

// A segment of "." or ".." would be taken out of the path, encoded or not, so such an id has a tilde before it, as has one that begins with a tilde.
const encode = (segment: string): string => encodeURIComponent(/^(~|\.{1,2}$)/.test(segment) ? '~' + segment : segment);
const decode = (segment: string): string => {
  try {
    segment = decodeURIComponent(segment);
  } catch {
    // It is shown as it is: there is no such task.
  }
  return segment.startsWith('~') ? segment.slice(1) : segment;
};

/** The URL of a place. Empty values are left out; the namespace of the view stays. */
export function href(path: string[], query: Record<string, string | number | undefined> = {}): string {
  const q = new URLSearchParams();
  const ns = here.query.get('ns');
  if (ns) q.set('ns', ns);
  for (const [key, value] of Object.entries(query)) if (value !== undefined && value !== '') q.set(key, String(value));
  const text = q.toString();
  return '/' + path.map(encode).join('/') + (text ? '?' + text : '');
}

export const toTree = (tree: string, query: Record<string, string | undefined> = {}): string => href(['t', tree], query);
// How each tree was looked at last, so that whoever comes back from a task finds the same view.
const looked = new Map<string, URLSearchParams>();

/** remember notes how a tree is looked at. */
export function remember(tree: string, query: URLSearchParams): void {
  looked.set(tree, query);
}

/** The URL of a tree as it was looked at last, with a task selected. */
export function backToTree(tree: string, place: number | undefined): string {
  const query = Object.fromEntries(looked.get(tree) ?? []);
  return toTree(tree, { ...query, ns: undefined, sel: place ? String(place) : '' });
}

export const toTask = (tree: string, task: string, query: Record<string, string | undefined> = {}): string => href(['t', tree, task], query);

function read(): Place {
  return { path: location.pathname.split('/').filter(Boolean).map(decode), query: new URLSearchParams(location.search) };
}

const state = $state<{ place: Place }>({ place: read() });

/** The place that is shown. */
export const here = {
  get path(): string[] {
    return state.place.path;
  },
  get query(): URLSearchParams {
    return state.place.query;
  },
  /** A value of the query; empty: it is not there. */
  get(name: string): string {
    return state.place.query.get(name) ?? '';
  },
};

/** go shows another place. With replace, Back leads to where the one before came from. */
export function go(url: string, replace = false): void {
  if (url === location.pathname + location.search) return;
  history[replace ? 'replaceState' : 'pushState'](null, '', url);
  state.place = read();
  if (!replace) scrollTo(0, 0);
}

/** set changes values of the query of the place; empty ones go. */
export function set(values: Record<string, string | undefined>, replace = true): void {
  const q = new URLSearchParams(location.search);
  for (const [key, value] of Object.entries(values)) {
    if (value) q.set(key, value);
    else q.delete(key);
  }
  const text = q.toString();
  go(location.pathname + (text ? '?' + text : ''), replace);
}

/** listen follows the browser's Back and the links of the page. It returns what ends that. */
export function listen(): () => void {
  const back = () => (state.place = read());
  const click = (e: MouseEvent) => {
    if (e.defaultPrevented || e.button !== 0 || e.metaKey || e.ctrlKey || e.shiftKey || e.altKey) return;
    const a = (e.target as Element | null)?.closest?.('a');
    if (!a || a.target || a.origin !== location.origin || a.hasAttribute('download') || a.pathname.startsWith('/docs') || a.pathname.startsWith('/login')) return;
    e.preventDefault();
    go(a.pathname + a.search);
  };
  addEventListener('popstate', back);
  document.addEventListener('click', click);
  return () => {
    removeEventListener('popstate', back);
    document.removeEventListener('click', click);
  };
}
