// The sign-in bar and GraphiQL. The token is stored for this tab only. The password is not stored.
'use strict';

const KEY = 'symbolon';
const $ = (id) => document.getElementById(id);

const TOUR = `# Welcome to Symbolon. Put the cursor into an operation and press Ctrl+Enter.

# The types of the API. This query requires no token.
query Types {
  __schema { types { name description } }
}

# The current user. This query requires a token: sign in above first.
query Me {
  me { id username role email createdAt lastSignInAt }
}

# The users, page by page. This query requires the role ADMIN.
query Users {
  users(first: 10) {
    totalCount
    nodes { id username role }
    pageInfo { hasNextPage endCursor }
  }
}

# Registers a user. Invalid input is reported in userErrors.
mutation Register {
  createUser(input: { username: "grace", password: "correct horse" }) {
    user { id username }
    userErrors { field code message }
  }
}

# Creates an access token. Operations that grant authority require the password in the same request:
# write { "Authorization": "Basic …" } under Headers.
mutation AccessToken {
  createAccessToken(input: { name: "laptop", scopes: ["account:read"] }) {
    token
    userErrors { field code message }
  }
}

# Revokes your token. The revocation takes effect at once.
mutation SignOut {
  revokeToken
}
`;

/** The session, or null: { username, token, expiresAt, lifetime }. The times are in milliseconds. */
let session = null;

// The times of the last user input and of the last attempt to renew the token.
let usedAt = 0;
let renewedAt = 0;
const MINUTE = 60_000;

const load = () => {
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEY));
    return kept && kept.expiresAt > Date.now() ? kept : null;
  } catch {
    return null; // The stored value is invalid, or storage is disabled.
  }
};

const keep = (next) => {
  session = next;
  try {
    if (next) sessionStorage.setItem(KEY, JSON.stringify(next));
    else sessionStorage.removeItem(KEY);
  } catch {
    // Storage is disabled: the session ends with the page.
  }
};

/** Returns Basic credentials (RFC 7617) in UTF-8. */
const basic = (username, password) => {
  const bytes = new TextEncoder().encode(`${username}:${password}`);
  return 'Basic ' + btoa(String.fromCharCode(...bytes));
};

const send = async (body, headers) => {
  const response = await fetch('graphql', {
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

/** Returns the data of an operation. Throws the message of the first error. */
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

/** Returns the expiration and the lifetime of a token that was just received, for `keep`. */
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

/** Renews the token. Returns false if the session has reached its maximum age and the expiration is unchanged. */
const renew = async () => {
  const { token, expiresAt } = session;
  renewedAt = Date.now();
  const { renewToken } = await ask(
    'mutation { renewToken { token expiresAt expiresIn } }',
    {},
    { authorization: `Bearer ${token}` },
  );
  // The user has signed out or signed in again in the meantime.
  if (session?.token !== token) return false;
  keep({ ...session, token: renewToken.token, ...lives(renewToken) });
  // `expiresIn` has whole seconds, so an unchanged expiration can differ by up to 2 s.
  return session.expiresAt - expiresAt > 2000;
};

/** Renews the token while the page is in use. If the page is not in use, the token expires. */
const renewWhileUsed = () => {
  const now = Date.now();
  const due = session !== null && session.expiresAt - now < session.lifetime / 2;
  const used = document.visibilityState === 'visible' && now - usedAt < 5 * MINUTE;
  if (!due || !used || now - renewedAt < MINUTE) return;
  // After a failure, the countdown continues, and its end asks the user to sign in.
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

/** Runs the action of a button, one at a time, and shows the result. */
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
    // The focused button is now hidden: move the keyboard focus to the visible part of the bar.
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
  act(renew, (longer) => (longer ? 'Renewed.' : 'The token cannot live longer.')),
);

for (const touch of ['pointerdown', 'keydown', 'wheel']) {
  // GraphiQL stops the propagation of some events, so listen in the capture phase.
  addEventListener(touch, () => (usedAt = Date.now()), { capture: true, passive: true });
}

/**
 * The storage of GraphiQL, which ends with the tab, because variables and headers contain passwords and tokens. The
 * history also contains headers, and ends with the page.
 */
const tabStorage = () => {
  const prefix = 'graphiql:';
  const secret = ['queries', 'favorites', 'headers'].map((name) => prefix + name);
  const memory = new Map();
  const kept = (work, otherwise) => {
    try {
      return work(sessionStorage);
    } catch {
      return otherwise; // Storage is disabled or full.
    }
  };
  const names = (storage) => Object.keys(storage).filter((name) => name.startsWith(prefix));
  // Delete the data of earlier versions.
  try {
    names(localStorage).forEach((name) => localStorage.removeItem(name));
  } catch {
    // Storage is disabled.
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
  // An Authorization header that the user writes in GraphiQL has precedence.
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
