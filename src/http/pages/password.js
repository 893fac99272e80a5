// Sets a password with the token of a link. Browsers do not send the fragment of an address, so neither a server nor a
// proxy logs the token. The page removes the token from the address and the history, and keeps the token in memory only.
'use strict';

const TOKEN = /^[A-Za-z0-9_-]{1,128}$/;
const MUTATION = `mutation ResetPassword($token: String!, $newPassword: String!) {
  resetPassword(token: $token, newPassword: $newPassword) {
    user { username }
    userErrors { field message }
  }
}`;
const NO_ANSWER = 'The server did not answer. Check your connection, and try again.';

/** The sections that a reload of the page shows again. */
const REMEMBERED = ['closed', 'refused', 'done'];

const $ = (id) => document.getElementById(id);
const [form, password, visible, button] = ['form', 'password', 'visible', 'submit'].map($);
const [passwordError, otherError] = ['password-error', 'error'].map($);
const heading = document.querySelector('h1');
const action = button.textContent;

const link = new URLSearchParams(location.hash.slice(1));
const token = link.get('token') ?? '';

/** Removes the fragment from the address, and stores which section a reload of the page shows. */
const remember = (section) => history.replaceState(section, '', location.href.split('#', 1)[0]);

/** Shows a section instead of the form. */
const show = (section) => {
  form.remove();
  $(section).hidden = false;
  heading.textContent = document.title = $(section).dataset.title;
  heading.focus();
};

const showForm = (username) => {
  $('username').value = username;
  $('user').hidden = username === '';
  form.hidden = false;
  password.focus();
};

const showRefused = (reason) => {
  $('reason').textContent = reason;
  show('refused');
};

const showDone = (username) => {
  $('who').textContent = username;
  $('as').hidden = username === '';
  show('done');
};

/** Shows an error about the password beside its field, and any other error above the button. */
const showErrors = ({ aboutPassword = '', other = '' }) => {
  passwordError.textContent = aboutPassword;
  otherError.textContent = other;
  password.setAttribute('aria-invalid', aboutPassword !== '');
  if (aboutPassword !== '') password.focus();
  else if (other !== '') otherError.focus();
};

const setVisible = (isVisible) => {
  visible.checked = isVisible;
  password.type = isVisible ? 'text' : 'password';
};

let busy = false;

const setBusy = (isBusy) => {
  busy = isBusy;
  // A disabled button would lose the focus.
  button.setAttribute('aria-disabled', isBusy);
  button.textContent = isBusy ? 'Please wait …' : action;
};

/** Returns the response to the mutation, or null if the server does not answer. */
const send = async (variables) => {
  try {
    const response = await fetch('graphql', {
      method: 'POST',
      headers: {
        accept: 'application/graphql-response+json, application/json;q=0.9',
        'content-type': 'application/json',
      },
      body: JSON.stringify({ query: MUTATION, variables }),
      signal: AbortSignal.timeout(60_000),
    });
    return await response.json();
  } catch {
    return null;
  }
};

const submit = async () => {
  if (password.value === '') {
    showErrors({ aboutPassword: 'Enter a password.' });
    return;
  }
  showErrors({});
  // Browsers store the values of visible fields, to complete or restore them later.
  setVisible(false);
  setBusy(true);
  const response = await send({ token, newPassword: password.value });
  setBusy(false);
  const payload = response?.data?.resetPassword;
  const aboutLink = payload?.userErrors.find(({ field }) => field === 'token');
  if (!payload) {
    // A refused GraphQL request has `errors`. A request that is refused before has `message`.
    showErrors({ other: response?.errors?.[0]?.message ?? response?.message ?? NO_ANSWER });
  } else if (payload.userErrors.length === 0) {
    remember('done');
    showDone(payload.user?.username ?? '');
  } else if (aboutLink) {
    remember('refused');
    showRefused(aboutLink.message);
  } else {
    showErrors({ aboutPassword: payload.userErrors.map(({ message }) => message).join(' ') });
  }
};

form.addEventListener('submit', (event) => {
  event.preventDefault();
  if (!busy) submit();
});
visible.addEventListener('change', () => setVisible(visible.checked));
// Leaving the page also stores the values of visible fields.
addEventListener('pagehide', () => setVisible(false));
// The user has opened another link, which differs in the fragment only.
addEventListener('hashchange', () => location.reload());

const isReload = location.hash === '' && REMEMBERED.includes(history.state);
if (TOKEN.test(token)) {
  remember('closed');
  showForm(link.get('username') ?? '');
} else if (isReload) {
  show(history.state);
} else {
  remember(null);
  show('incomplete');
}
