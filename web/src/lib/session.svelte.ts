// Who uses the page, and what they may do.

import { call, CallError, callAs, onRefused } from './api';
import { here } from './router.svelte';
import type { WhoAmIResponse } from './proto';

/** What the server says of itself beside the service: api/page writes it. */
export interface Settings {
  version: string;
  issuers: string[]; // where people sign in
}

const tokenKey = 'taskgrove.token';

export const session = $state<{
  who: WhoAmIResponse | undefined; // undefined: it is not known yet
  settings: Settings;
  permissions: Set<string>;
  signedOut: boolean; // the service does not know who calls
  lost: string; // why nothing is known yet; empty: nothing is wrong
}>({ who: undefined, settings: { version: '', issuers: [] }, permissions: new Set(), signedOut: false, lost: '' });

const store = {
  get(): string {
    try {
      return sessionStorage.getItem(tokenKey) ?? '';
    } catch {
      return '';
    }
  },
  set(token: string): void {
    try {
      if (token) sessionStorage.setItem(tokenKey, token);
      else sessionStorage.removeItem(tokenKey);
    } catch {
      // The token lasts as long as the page then.
    }
  },
};

/** begin asks who calls. It is called again after somebody has signed in, and for another namespace. */
export async function begin(): Promise<void> {
  callAs({ token: store.get(), namespace: here.get('ns') });
  onRefused(() => (session.signedOut = true));
  try {
    const [who, can] = await Promise.all([call('AccessService/WhoAmI', {}), call('AccessService/CanI', {})]);
    session.who = who;
    session.permissions = new Set((can.answers ?? []).filter((a) => a.allowed).map((a) => a.permission ?? ''));
    session.signedOut = false;
    session.lost = '';
  } catch (err) {
    if (err instanceof CallError && err.code === 'unauthenticated') session.signedOut = true;
    else session.lost = err instanceof Error ? err.message : String(err);
  }
}

/** settle reads what the server says of itself. */
export async function settle(): Promise<void> {
  try {
    const res = await fetch('/page/settings.json', { credentials: 'omit' });
    if (res.ok) session.settings = (await res.json()) as Settings;
  } catch {
    // The page works without.
  }
}

/** signIn goes on with a token, which this tab keeps. */
export async function signIn(token: string): Promise<void> {
  store.set(token.trim());
  await begin();
}

/** signOut forgets the token, and ends the session of a cookie. */
export async function signOut(): Promise<void> {
  store.set('');
  await fetch('/logout', { method: 'POST', credentials: 'same-origin', headers: { 'Content-Type': 'application/json' }, body: '{}' }).catch(() => undefined);
  session.who = undefined;
  session.signedOut = true;
  callAs({ token: '', namespace: '' });
}

/** may reports whether the caller has a permission, of its own things at least. */
export const may = (permission: string): boolean => session.permissions.has(permission);
