// The sign-in bar, and GraphiQL below it. The token is kept for this tab only, the password not at all.
'use strict';

const KEY = 'symbolon';
const $ = (id) => document.getElementById(id);

const TOUR = `# Welcome to Symbolon. Put the cursor into an operation and press Ctrl+Enter.

# For everybody: what is there?
query Types {
  __schema { types { name description } }
}

# Behind the guard: sign in above first, and see it refused when you are signed out.
query Me {
  me { id username role email createdAt lastSignInAt }
}

# The accounts, page by page. For admins.
query Users {
  users(first: 10) {
    totalCount
    nodes { id username role }
    pageInfo { hasNextPage endCursor }
  }
}

# Registers an account. What is wrong with the input comes back as userErrors.
mutation Register {
  createUser(input: { username: "grace", password: "correct horse" }) {
    user { id username }
    userErrors { field code message }
  }
}

# Makes an access token. Operations that grant authority require the password in the same request:
# write { "Authorization": "Basic …" } under Headers.
mutation AccessToken {
  createAccessToken(input: { name: "laptop", scopes: ["account:read"] }) {
    token
    userErrors { field code message }
  }
}

# Ends the token that you are signed in with, at once and everywhere.
mutation SignOut {
  revokeToken
}
`;

/** The session, or null: { username, token, expiresAt, lifetime }; both in milliseconds. */
let session = null;

// When somebody last touched the page, and when it last asked for a longer life.
let usedAt = 0;
let renewedAt = 0;
const MINUTE = 60_000;

const load = () => {
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEY));
    return kept && kept.expiresAt > Date.now() ? kept : null;
  } catch {
    return null; // Whatever is there is not ours, or storage is switched off.
  }
};

const keep = (next) => {
  session = next;
  try {
    if (next) sessionStorage.setItem(KEY, JSON.stringify(next));
    else sessionStorage.removeItem(KEY);
  } catch {
    // Storage is switched off: the session ends with the page.
  }
};

/** Basic credentials (RFC 7617) in UTF-8, whatever characters they have. */
const basic = (username, password) => {
  const bytes = new TextEncoder().encode(`${username}:${password}`);
  return 'Basic ' + btoa(String.fromCharCode(...bytes));
};

const send = async (body, headers) => {
  const response = await fetch('/graphql', {
    method: 'POST',
    headers: {
      accept: 'application/graphql-response+json, application/json;q=0.9',
      'content-type': 'application/json',
      ...headers,
    },
    body: JSON.stringify(body),
  });
  return response.json();
};

/** The data of an operation; throws the first error's words. */
const ask = async (query, variables, headers) => {
  let answer;
  try {
    answer = await send({ query, variables }, headers);
  } catch {
    throw new Error('The server does not answer.');
  }
  if (answer.errors) throw new Error(answer.errors[0].message);
  return answer.data;
};

/** How long a token lives that was just handed out, for `keep`. */
const lives = ({ expiresIn }) => ({
  expiresAt: Date.now() + expiresIn * 1000,
  lifetime: expiresIn * 1000,
});

const signIn = async (username, password) => {
  const { createToken } = await ask(
    'mutation { createToken { token expiresIn user { username } } }',
    {},
    { authorization: basic(username, password) },
  );
  keep({
    username: createToken.user.username,
    token: createToken.token,
    ...lives(createToken),
  });
};

/** Lets the token live on. Whether it lives longer now: a session has a maximum age. */
const renew = async () => {
  const { token, expiresAt } = session;
  renewedAt = Date.now();
  const { renewToken } = await ask(
    'mutation { renewToken { token expiresAt expiresIn } }',
    {},
    { authorization: `Bearer ${token}` },
  );
  // Whoever signed out or in meanwhile is not brought back.
  if (session?.token !== token) return false;
  keep({ ...session, token: renewToken.token, ...lives(renewToken) });
  // Whole seconds are told, so the same instant seems to move a little.
  return session.expiresAt - expiresAt > 2000;
};

/** Whoever works here is not to be interrupted, and a page that is left alone lets its token die. */
const renewWhileUsed = () => {
  const now = Date.now();
  const due = session !== null && session.expiresAt - now < session.lifetime / 2;
  const used = document.visibilityState === 'visible' && now - usedAt < 5 * MINUTE;
  if (!due || !used || now - renewedAt < MINUTE) return;
  // Where it fails, the countdown goes on to its end and says what to do then.
  renew().then(show, () => {});
};

const register = async (username, password) => {
  const { createUser } = await ask(
    'mutation($input: CreateUserInput!) { createUser(input: $input) { userErrors { message } } }',
    { input: { username, password } },
  );
  const problems = createUser.userErrors.map((problem) => problem.message);
  if (problems.length > 0) throw new Error(problems.join(' '));
  await signIn(username, password);
};

const signOut = async () => {
  const { token } = session;
  keep(null);
  await ask('mutation { revokeToken }', {}, { authorization: `Bearer ${token}` });
};

const say = (words, bad = false) => {
  $('message').textContent = words;
  $('message').classList.toggle('bad', bad);
  $('message').setAttribute('role', bad ? 'alert' : 'status');
};

const clock = (seconds) => {
  const two = (number) => String(number).padStart(2, '0');
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor((seconds % 3600) / 60)];
  return (hours > 0 ? `${hours}:${two(minutes)}` : `${minutes}`) + `:${two(seconds % 60)}`;
};

const show = () => {
  $('signed-out').hidden = session !== null;
  $('signed-in').hidden = session === null;
  if (session === null) return;
  const left = Math.max(0, Math.round((session.expiresAt - Date.now()) / 1000));
  $('who').textContent = session.username;
  $('left').textContent = clock(left);
  if (left === 0) {
    keep(null);
    show();
    say('The token has expired. Sign in again.');
  }
};

/** Does what a button stands for, once at a time, and says how it went. */
const act = async (work, done) => {
  const from = document.activeElement;
  const buttons = document.querySelectorAll('header button');
  buttons.forEach((button) => (button.disabled = true));
  say('');
  try {
    const result = await work();
    $('password').value = '';
    say(done(result));
  } catch (error) {
    say(error.message, true);
  } finally {
    buttons.forEach((button) => (button.disabled = false));
    show();
    // Whoever used the keyboard goes on from where the bar is now.
    const { activeElement: at } = document;
    if (at === document.body || at.closest('[hidden]') !== null) {
      if (session === null) $('username').focus();
      else (from.id === 'renew' ? from : $('sign-out')).focus();
    }
  }
};

const typed = () => [$('username').value, $('password').value];

$('signed-out').addEventListener('submit', (event) => {
  event.preventDefault();
  act(() => signIn(...typed()), () => '');
});
$('register').addEventListener('click', () => {
  if ($('signed-out').reportValidity()) act(() => register(...typed()), () => 'Welcome.');
});
$('sign-out').addEventListener('click', () => act(signOut, () => 'Signed out.'));

$('renew').addEventListener('click', () =>
  act(renew, (longer) => (longer ? 'Renewed.' : 'It cannot live longer than that.')),
);

for (const touch of ['pointerdown', 'keydown', 'wheel']) {
  // GraphiQL keeps some of them to itself.
  addEventListener(touch, () => (usedAt = Date.now()), { capture: true, passive: true });
}

/**
 * The storage of GraphiQL, which ends with the tab: variables and headers hold passwords and tokens. The history
 * holds headers too, and ends with the page.
 */
const tabStorage = () => {
  const prefix = 'graphiql:';
  const secret = ['queries', 'favorites', 'headers'].map((name) => prefix + name);
  const memory = new Map();
  const kept = (work, otherwise) => {
    try {
      return work(sessionStorage);
    } catch {
      return otherwise; // Storage is switched off or full.
    }
  };
  const names = (storage) => Object.keys(storage).filter((name) => name.startsWith(prefix));
  // Earlier versions left their own.
  try {
    names(localStorage).forEach((name) => localStorage.removeItem(name));
  } catch {
    // Storage is switched off.
  }
  return {
    getItem: (name) => memory.get(name) ?? kept((storage) => storage.getItem(name), null),
    setItem: (name, value) => {
      const isKept = !secret.includes(name) && kept((storage) => (storage.setItem(name, value), true), false);
      if (isKept) memory.delete(name);
      else memory.set(name, String(value));
    },
    removeItem: (name) => {
      memory.delete(name);
      kept((storage) => storage.removeItem(name));
    },
    get length() {
      return memory.size + kept((storage) => names(storage).length, 0);
    },
    clear: () => {
      memory.clear();
      kept((storage) => names(storage).forEach((name) => storage.removeItem(name)));
    },
  };
};

keep(load());
show();
setInterval(() => {
  show();
  renewWhileUsed();
}, 1000);

if (window.GraphiQL) {
  // Whoever writes an Authorization header of their own in GraphiQL means it.
  const fetcher = (operation, { headers } = {}) => {
    const own = Object.keys(headers ?? {}).some((name) => name.toLowerCase() === 'authorization');
    const bearer = session && !own ? { authorization: `Bearer ${session.token}` } : {};
    return send(operation, { ...bearer, ...headers });
  };
  const { React, ReactDOM, GraphiQL } = window;
  const props = {
    fetcher,
    storage: tabStorage(),
    shouldPersistHeaders: false,
    defaultQuery: TOUR,
    defaultEditorToolsVisibility: false,
  };
  ReactDOM.createRoot($('graphiql')).render(React.createElement(GraphiQL, props));
}
