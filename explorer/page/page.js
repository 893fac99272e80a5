// The sign-in bar, and GraphiQL below it. The token is kept for this tab only, the password not at all.
'use strict';

const KEY = 'symbolon';
const $ = (id) => document.getElementById(id);

const TOUR = `# Welcome to Symbolon. These operations work as they are: put the cursor into one
# and press Ctrl+Enter.

# For everybody: what is there?
query Types {
  __schema { types { name description } }
}

# Behind the guard: sign in above first, and see it refused when you are signed out.
query Me {
  me { id username role email createdAt lastSignInAt }
}

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

# Ends the token that you are signed in with, at once and everywhere.
mutation SignOut {
  revokeToken
}
`;

/** The session, or null: { username, token, expiresAt (milliseconds) }. */
let session = null;

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

const signIn = async (username, password) => {
  const { createToken } = await ask(
    'mutation { createToken { token expiresIn user { username } } }',
    {},
    { authorization: basic(username, password) },
  );
  keep({
    username: createToken.user.username,
    token: createToken.token,
    expiresAt: Date.now() + createToken.expiresIn * 1000,
  });
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
  const buttons = document.querySelectorAll('header button');
  buttons.forEach((button) => (button.disabled = true));
  say('');
  try {
    await work();
    $('password').value = '';
    say(done());
  } catch (error) {
    say(error.message, true);
  } finally {
    buttons.forEach((button) => (button.disabled = false));
    show();
    // Whoever used the keyboard goes on from where the bar is now.
    const { activeElement: at } = document;
    if (at === document.body || at.closest('[hidden]') !== null) {
      $(session === null ? 'username' : 'sign-out').focus();
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

keep(load());
show();
setInterval(show, 1000);

if (window.GraphiQL) {
  // Whoever writes an Authorization header of their own in GraphiQL means it.
  const fetcher = (operation, { headers } = {}) => {
    const own = Object.keys(headers ?? {}).some((name) => name.toLowerCase() === 'authorization');
    const bearer = session && !own ? { authorization: `Bearer ${session.token}` } : {};
    return send(operation, { ...bearer, ...headers });
  };
  const { React, ReactDOM, GraphiQL } = window;
  const props = { fetcher, defaultQuery: TOUR, defaultEditorToolsVisibility: false };
  ReactDOM.createRoot($('graphiql')).render(React.createElement(GraphiQL, props));
}
