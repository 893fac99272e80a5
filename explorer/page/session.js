// The session of the page. The token is stored for this tab only. The password is not stored.
import { ask, basic } from './api.js';

const KEY = 'symbolon';
const MINUTE = 60_000;

/** The session, or null: { username, role, token, expiresAt, lifetime }. The times are in milliseconds. */
let session = null;
export const current = () => session;

/** The number of sessions of this page. It changes when a session begins or ends. */
let number = 0;

const ended = () => new Error('The session has ended.');

/** Returns a function that returns whether no session has begun or ended since this call. */
export const watch = () => {
  const own = number;
  return () => own === number;
};

/** Returns the result of a request of the session. The result of an earlier session is an error, and is not shown. */
const ofThisSession = async (request) => {
  const isSameSession = watch();
  if (!session) throw ended();
  const result = await request(session);
  if (!isSameSession()) throw ended();
  return result;
};

const listeners = [];
/** Registers a function that is called with the reason of the end, or with undefined after another change. */
export const onChange = (listener) => listeners.push(listener);

const change = (next, reason) => {
  if (!session || !next) number += 1;
  session = next;
  try {
    // The reason of the end is shown again after a reload.
    if (next || reason) sessionStorage.setItem(KEY, JSON.stringify(next ?? { reason }));
    else sessionStorage.removeItem(KEY);
  } catch {
    // Storage is disabled: the session ends with the page.
  }
  listeners.forEach((listener) => listener(reason));
};

const EXPIRED = 'Your session has expired. Sign in again.';

/** Ends the session if an answer to its token says that the token is not valid. Returns whether it ended the session. */
export const examine = (answer, token) => {
  // The user may have signed in again in the meantime.
  if (session?.token !== token) return false;
  const refused = answer.errors?.find((error) => error?.extensions?.code === 'UNAUTHENTICATED');
  const reason = refused?.extensions.reason;
  // These reasons concern an operation that takes a password, for example `createToken`. The token may be valid.
  if (!refused || reason === 'MISSING' || reason === 'INVALID_CREDENTIALS') return false;
  const because = 'Your session has ended, because its token';
  if (session.expiresAt <= Date.now()) change(null, EXPIRED);
  else if (reason === 'TOKEN_INVALID') change(null, `${because} is unknown to the server. Sign in again.`);
  else change(null, `${because} was revoked. Sign in again.`);
  return true;
};

/** Returns the data of an operation that is sent with the token of the session. */
export const askAsUser = (query, variables) =>
  ofThisSession(({ token }) => ask(query, variables, `Bearer ${token}`, (answer) => examine(answer, token)));

/** Returns the data of an operation that is sent with the password of the signed-in user. */
export const askWithPassword = (query, variables, password) =>
  ofThisSession(({ username }) => ask(query, variables, basic(username, password)));

const lifetime = ({ expiresIn }) => ({
  expiresAt: Date.now() + expiresIn * 1000,
  lifetime: expiresIn * 1000,
});

/**
 * Signs in with a session of its own, because signing out of the session that the user's clients share would sign
 * out all these clients. Symbolon replaces expired sessions first if a user has 50 device sessions.
 */
export const signIn = async (username, password) => {
  const { createToken } = await ask(
    'mutation { createToken(device: "Explorer") { token expiresIn user { username role } } }',
    {},
    basic(username, password),
  );
  const { token, user } = createToken;
  change({ ...user, token, ...lifetime(createToken) });
};

/** Signs out. Returns the message for the user. */
export const signOut = async () => {
  if (!session) return 'Signed out.';
  const { token } = session;
  change(null, '');
  try {
    await ask('mutation { revokeToken }', {}, `Bearer ${token}`);
    return 'Signed out.';
  } catch {
    return 'Signed out of this page. The server did not revoke the token, which remains valid until it expires.';
  }
};

let renewedAt = 0;

/** Renews the token. Returns false if the session has reached its maximum age, so that it gets less than its lifetime. */
export const renew = async () => {
  renewedAt = Date.now();
  const { renewToken } = await askAsUser('mutation { renewToken { token expiresIn } }');
  const before = session.lifetime;
  change({ ...session, token: renewToken.token, ...lifetime(renewToken) });
  // `expiresIn` has whole seconds.
  return session.lifetime > before - 2000;
};

/**
 * Asks the server whether the token is valid, and for the current name and role of the user. Returns whether the server
 * refused the token, so that the session ended.
 */
export const check = async () => {
  const token = session?.token;
  let isRefused = false;
  try {
    const query = '{ me { username role } }';
    const examineOwn = (answer) => (isRefused = examine(answer, token));
    const { me } = await ofThisSession(() => ask(query, {}, `Bearer ${token}`, examineOwn));
    if (me.username !== session.username || me.role !== session.role) change({ ...session, ...me });
  } catch {
    // There is no session, or it has ended. Otherwise, the next operation shows the problem.
  }
  return isRefused;
};

/** Ends an expired session. Renews the token while the page is in use. */
const tick = (usedAt) => {
  if (!session) return;
  const now = Date.now();
  if (session.expiresAt <= now) return change(null, EXPIRED);
  const isDue = session.expiresAt - now < session.lifetime / 2 && now - renewedAt >= MINUTE;
  const isUsed = document.visibilityState === 'visible' && now - usedAt < 5 * MINUTE;
  // After a failure without a refusal, the countdown continues.
  if (isDue && isUsed) renew().catch(() => {});
};

/** Restores the session of the tab. Call this after `onChange`. */
export const start = () => {
  let kept = null;
  try {
    kept = JSON.parse(sessionStorage.getItem(KEY));
  } catch {
    // The stored value is invalid, or storage is disabled.
  }
  change(kept?.token ? kept : null, kept?.reason);
  tick(0);
  check();
  document.addEventListener('visibilitychange', () => {
    if (document.visibilityState === 'visible') check();
  });
  let usedAt = 0;
  for (const touch of ['pointerdown', 'keydown', 'wheel']) {
    // GraphiQL stops the propagation of some events, so listen in the capture phase.
    addEventListener(touch, () => (usedAt = Date.now()), { capture: true, passive: true });
  }
  setInterval(() => tick(usedAt), 1000);
};
