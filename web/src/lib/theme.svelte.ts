// Light, dark, or as the system has it.

const key = 'taskgrove.theme';
export type Theme = 'system' | 'light' | 'dark';

const read = (): Theme => {
  try {
    const stored = localStorage.getItem(key);
    return stored === 'light' || stored === 'dark' ? stored : 'system';
  } catch {
    return 'system';
  }
};

export const theme = $state<{ is: Theme }>({ is: read() });

export function show(is: Theme): void {
  theme.is = is;
  try {
    if (is === 'system') localStorage.removeItem(key);
    else localStorage.setItem(key, is);
  } catch {
    // It lasts as long as the page then.
  }
  apply();
}

export function apply(): void {
  if (theme.is === 'system') document.documentElement.removeAttribute('data-theme');
  else document.documentElement.dataset.theme = theme.is;
  dispatchEvent(new Event('themechange'));
}
