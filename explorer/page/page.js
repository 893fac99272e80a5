// The bar above GraphiQL: the theme, the sign-in, the registration and the menu of the signed-in user.
import { showSessions, showTokens } from './account.js';
import { ask } from './api.js';
import { $, copy, countdown, handle, once } from './forms.js';
import { current, onChange, renew, signIn, signOut, start } from './session.js';

const say = (words, isError = false) => {
  $('message').setAttribute('role', isError ? 'alert' : 'status');
  $('message').classList.toggle('error', isError);
  $('message').textContent = words;
};

// The classes are those with which GraphiQL chooses its theme.
const darkness = matchMedia('(prefers-color-scheme: dark)');
const applyTheme = () => {
  const { value } = $('theme');
  const isDark = value === 'dark' || (value === 'system' && darkness.matches);
  document.body.classList.toggle('graphiql-dark', isDark);
  document.body.classList.toggle('graphiql-light', !isDark);
  document.dispatchEvent(new Event('theme'));
};
try {
  $('theme').value = sessionStorage.getItem('theme') ?? 'system';
} catch {
  // Storage is disabled.
}
$('theme').addEventListener('change', ({ target }) => {
  try {
    sessionStorage.setItem('theme', target.value);
  } catch {
    // Storage is disabled or full.
  }
  applyTheme();
});
darkness.addEventListener('change', applyTheme);
applyTheme();

const isOpen = () => !$('menu').hidden;
const setMenu = (open) => {
  $('menu').hidden = !open;
  $('menu-button').ariaExpanded = String(open);
  $('done').textContent = '';
};
const leaveMenu = () => {
  setMenu(false);
  $('menu-button').focus();
};
$('menu-button').addEventListener('click', () => setMenu(!isOpen()));
$('account').addEventListener('keydown', (event) => {
  if (event.key === 'Escape' && isOpen()) leaveMenu();
});
// Closes the menu when the focus or the pointer goes elsewhere.
$('account').addEventListener('focusout', ({ relatedTarget }) => {
  if (relatedTarget && !$('account').contains(relatedTarget)) setMenu(false);
});
document.addEventListener(
  'pointerdown',
  ({ target }) => {
    if (isOpen() && !$('account').contains(target)) setMenu(false);
  },
  { capture: true },
);

/** Makes a button of the menu do its work and show the result in the menu. */
const inMenu = (id, work) =>
  $(id)?.addEventListener('click', ({ target }) =>
    once(target, async () => {
      $('done').textContent = '';
      const result = await work().catch(({ message }) => message);
      $('done').textContent = result;
    }),
  );
inMenu('renew', async () => ((await renew()) ? 'Renewed.' : 'The session has reached its maximum age.'));
inMenu('copy-token', async () => {
  await copy(current().token);
  return 'The token is in the clipboard.';
});
inMenu('copy-curl', async () => {
  const { curl } = await import('./editor.js');
  await copy(curl());
  return 'The command is in the clipboard. It contains your token.';
});
for (const [id, open] of [['show-sessions', showSessions], ['show-tokens', showTokens]]) {
  $(id).addEventListener('click', async () => {
    leaveMenu();
    await open();
  });
}
$('sign-out').addEventListener('click', async () => say(await signOut()));

$('signed-out').addEventListener('submit', (event) => {
  event.preventDefault();
  once($('signed-out'), async () => {
    say('');
    try {
      await signIn($('username').value, $('password').value);
      $('signed-out').reset();
    } catch ({ message }) {
      say(message, true);
      $('password').select();
    }
  });
});

const registration = $('registration');
if (registration) {
  $('register').addEventListener('click', () => registration.showModal());
  handle(registration.querySelector('form'), async ({ username, email, password }) => {
    const { createUser } = await ask(
      'mutation($input: CreateUserInput!) { createUser(input: $input) { userErrors { field message } } }',
      { input: { username, email: email.trim() || null, password } },
    );
    if (createUser.userErrors.length > 0) return createUser.userErrors;
    try {
      await signIn(username, password);
      say('');
    } catch ({ message }) {
      // A second registration would fail, because the name is taken now.
      say(`You are registered, but not signed in: ${message}`, true);
      $('username').value = username;
    }
    registration.close();
    (current() ? $('menu-button') : $('password')).focus();
  });
}

for (const button of document.querySelectorAll('dialog .close')) {
  button.addEventListener('click', () => button.closest('dialog').close());
}

const showTime = () => {
  if (current()) $('left').textContent = countdown(current().expiresAt - Date.now());
};
setInterval(showTime, 1000);

onChange((reason) => {
  const session = current();
  const focused = document.activeElement;
  $('signed-out').hidden = session !== null;
  $('account').hidden = session === null;
  if ($('register')) $('register').hidden = session !== null;
  if (reason !== undefined) {
    setMenu(false);
    say(reason, reason !== '');
  }
  if (session) {
    $('who').textContent = $('name').textContent = session.username;
    $('role').textContent = session.role?.toLowerCase() ?? '';
    showTime();
  }
  // The focused element may be hidden now.
  if (focused.closest('[hidden]')) (session ? $('menu-button') : $('username')).focus();
});
start();
