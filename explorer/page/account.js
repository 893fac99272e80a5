// The dialogs with the sessions and the access tokens of the signed-in user.
import { $, copy, element, handle, once, timeOf } from './forms.js';
import { askAsUser, askWithPassword, onChange, watch } from './session.js';

const [sessions, tokens] = [$('sessions'), $('tokens')];

/** Shows the error of a list above the list. */
const attempt = async (dialog, work) => {
  const error = dialog.querySelector('.error');
  const isSameSession = watch();
  error.textContent = '';
  try {
    await work();
  } catch ({ code, message }) {
    if (!isSameSession()) return;
    // An application can have a schema without some of Symbolon's fields.
    const isMissing = code === 'GRAPHQL_VALIDATION_FAILED';
    error.textContent = isMissing ? `The schema of this server does not support this: ${message}` : message;
    error.scrollIntoView({ block: 'nearest' });
  }
};

/** Returns an item of a list: a title, its times, and a button. */
const item = (title, facts, button) => {
  const line = element('span', { className: 'faint' });
  facts.forEach((fact, index) => line.append(...(index > 0 ? [' · '] : []), ...fact));
  return element('li', {}, element('div', {}, ...title, element('br'), line), ...(button ? [button] : []));
};

/** Returns a button that revokes a session or an access token, and then reloads the list. */
const revokeButton = (dialog, name, query, variables, reload) => {
  const button = element('button', { type: 'button', textContent: 'Revoke', ariaLabel: `Revoke ${name}` });
  button.addEventListener('click', () =>
    once(button, () =>
      attempt(dialog, async () => {
        const place = [...dialog.querySelectorAll('li')].indexOf(button.closest('li'));
        await askAsUser(query, variables);
        await reload();
        // The next item, so that the list stays at its place.
        const next = [...dialog.querySelectorAll('li')].slice(place).map((each) => each.querySelector('button')).find(Boolean);
        (next ?? dialog.querySelector('.close')).focus();
      }),
    ),
  );
  return button;
};

const loadSessions = async () => {
  const { me } = await askAsUser(
    '{ me { sessions { nodes { id device current createdAt lastUsedAt expiresAt address } } } }',
  );
  const nodes = me.sessions.nodes.toSorted((one, other) => other.current - one.current);
  const items = nodes.map(({ id, device, current: isThis, createdAt, lastUsedAt, expiresAt, address }) => {
    const name = device ?? 'Shared session';
    const title = [element('bdi', { textContent: name })];
    if (isThis) title.push(' ', element('span', { className: 'tag', textContent: 'this one' }));
    const facts = [
      ...(createdAt ? [['created ', timeOf(createdAt)]] : []),
      lastUsedAt ? ['last used ', timeOf(lastUsedAt)] : ['not used yet'],
      ['expires ', timeOf(expiresAt)],
      ...(address ? [[address]] : []),
    ];
    const query = 'mutation($id: ID!) { revokeSession(id: $id) }';
    return item(title, facts, isThis ? null : revokeButton(sessions, name, query, { id }, loadSessions));
  });
  sessions.querySelector('ul').replaceChildren(...items);
  $('revoke-others').hidden = items.length < 2;
};

const loadTokens = async () => {
  const { me } = await askAsUser('{ me { accessTokens { id name scopes createdAt lastUsedAt expiresAt } } }');
  const items = me.accessTokens.map(({ id, name, scopes, createdAt, lastUsedAt, expiresAt }) => {
    const title = [element('bdi', { textContent: name }), ' ', element('code', { textContent: scopes.join(' ') })];
    const facts = [
      ['created ', timeOf(createdAt)],
      lastUsedAt ? ['last used ', timeOf(lastUsedAt)] : ['not used yet'],
      expiresAt ? [new Date(expiresAt) < new Date() ? 'expired ' : 'expires ', timeOf(expiresAt)] : ['does not expire'],
    ];
    const query = 'mutation($id: ID!) { revokeAccessToken(id: $id) }';
    return item(title, facts, revokeButton(tokens, name, query, { id }, loadTokens));
  });
  tokens.querySelector('ul').replaceChildren(...items);
  $('no-tokens').hidden = items.length > 0;
};

/** Shows a new access token, which the server does not return again. */
const showToken = (token) => {
  const button = element('button', { type: 'button', textContent: 'Copy' });
  button.addEventListener('click', async () => {
    await copy(token).then(
      () => (button.textContent = 'Copied'),
      ({ message }) => (tokens.querySelector('.error').textContent = message),
    );
  });
  const words = element('p', { textContent: 'Copy the new access token now. It is not shown again.' });
  $('new-token').replaceChildren(words, element('code', { textContent: token }), button);
  $('tokens-title').scrollIntoView();
};

const create = async ({ name, scopes, expiresIn, password }) => {
  // If the session has ended, a new token could not be shown.
  await loadTokens();
  const input = { name, scopes: scopes.split(/\s+/).filter(Boolean) };
  if (expiresIn) input.expiresIn = Number(expiresIn);
  const { createAccessToken } = await askWithPassword(
    `mutation($input: CreateAccessTokenInput!) {
      createAccessToken(input: $input) { token userErrors { field message } }
    }`,
    { input },
    password,
  ).catch((error) => {
    if (error.reason !== 'INVALID_CREDENTIALS') throw error;
    return { createAccessToken: { userErrors: [{ field: 'password', message: 'The password is wrong.' }] } };
  });
  const { token, userErrors } = createAccessToken;
  if (token) {
    tokens.querySelector('form').reset();
    showToken(token);
    await loadTokens();
  }
  return userErrors;
};

const show = async (dialog, load) => {
  const isSameSession = watch();
  await attempt(dialog, load);
  // The server may have refused the token, or the user may have signed out.
  if (isSameSession() && !dialog.open) dialog.showModal();
};
export const showSessions = () => show(sessions, loadSessions);
export const showTokens = () => show(tokens, loadTokens);

const clear = (dialog) => {
  dialog.querySelector('ul').replaceChildren();
  dialog.querySelector('.error').textContent = '';
  if (dialog === tokens) $('new-token').replaceChildren();
  else $('revoke-others').hidden = true;
};

handle(tokens.querySelector('form'), create);
$('revoke-others').addEventListener('click', ({ target }) =>
  once(target, () =>
    attempt(sessions, async () => {
      await askAsUser('mutation { revokeOtherSessions }');
      await loadSessions();
      sessions.querySelector('.close').focus();
    }),
  ),
);
for (const dialog of [sessions, tokens]) {
  dialog.addEventListener('close', () => clear(dialog));
  onChange((reason) => {
    if (reason === undefined) return;
    dialog.close();
    // An answer can have arrived after the dialog was closed.
    clear(dialog);
  });
}
