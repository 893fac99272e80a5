// The explorer in Chromium, on a new server with open registration and an administrator:
//   SYMBOLON_URL=http://127.0.0.1:8000 ADMIN=root ADMIN_PASSWORD=… node explorer.mjs [FOLDER FOR SCREENSHOTS]
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { launch } from './chromium.mjs';

const { SYMBOLON_URL: url, ADMIN, ADMIN_PASSWORD } = process.env;
assert.ok(url && ADMIN && ADMIN_PASSWORD, 'SYMBOLON_URL, ADMIN or ADMIN_PASSWORD is not set');
const shots = process.argv[2];
const axe = readFileSync(fileURLToPath(import.meta.resolve('axe-core/axe.min.js')), 'utf8');
const browser = await launch();
const ZOE = ['zoë', 'pässwörd ☠ 1'];

const editor = '.graphiql-query-editor .CodeMirror';
const loaded = (page) => page.waitForSelector(editor);

/** Opens a page that fails the test if it requests another origin or violates the content security policy. */
const open = async ({ edit, ...options } = {}) => {
  const context = await browser.newContext({ viewport: { width: 1280, height: 760 }, ...options });
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  const page = await context.newPage();
  page.setDefaultTimeout(10_000);
  const complaints = [];
  page.on('request', (request) => {
    const to = new URL(request.url());
    const isOwn = ['data:', 'blob:'].includes(to.protocol) || to.origin === new URL(url).origin;
    if (!isOwn) complaints.push(`another origin: ${request.url()}`);
  });
  page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(String(error)));
  if (edit) {
    await page.route(`${url}/`, async (route) => {
      const response = await route.fetch();
      await route.fulfill({ response, body: edit(await response.text()) });
    });
  }
  // Routes are not called for the target of a redirect.
  await page.goto(edit ? `${url}/` : url);
  await loaded(page);
  const close = async () => {
    // A refused request is an error for the console.
    assert.deepEqual(complaints.filter((text) => !/status of 4\d\d|ERR_FAILED/.test(text)), []);
    await context.close();
  };
  return { context, page, close };
};

const value = (page, selector) => page.locator(selector).first().evaluate((element) => element.CodeMirror.getValue());
const write = (page, selector, text) =>
  page.locator(selector).first().evaluate((element, text) => element.CodeMirror.setValue(text), text);
const response = (page) => value(page, '.graphiql-response .CodeMirror');
const VARIABLES = '.graphiql-editor-tool > :first-child .CodeMirror';
const HEADERS = '.graphiql-editor-tool > :last-child .CodeMirror';

/** Waits until GraphiQL has parsed the text of the editor, which it does after a pause. */
const parsed = (page) =>
  page.waitForFunction((editor) => {
    const { CodeMirror } = document.querySelector(editor);
    return CodeMirror.documentAST?.loc.source.body === CodeMirror.getValue();
  }, editor);

const execute = (page) => page.locator('.graphiql-execute-button:not([aria-haspopup])').click();

/** Runs an operation in GraphiQL, or the operation of the tab, and returns the displayed response. */
const run = async (page, operation) => {
  await write(page, '.graphiql-response .CodeMirror', '');
  if (operation) await write(page, editor, operation);
  await parsed(page);
  await execute(page);
  await page.waitForFunction(() =>
    /"(data|errors)"/.test(document.querySelector('.graphiql-response .CodeMirror')?.CodeMirror.getValue()),
  );
  return response(page);
};

const signIn = async (page, [username, password]) => {
  await page.fill('#username', username);
  await page.fill('#password', password);
  await page.click('#sign-in');
  await page.locator('#who', { hasText: username }).waitFor();
};
const choose = async (page, id) => {
  if (!(await page.locator('#menu').isVisible())) await page.click('#menu-button');
  await page.click(`#${id}`);
};
const status = (page, text) => page.locator('#message').filter({ hasText: text }).waitFor();
const stored = (page) => page.evaluate(() => [localStorage, sessionStorage].map((all) => JSON.stringify({ ...all })));
const tokenOf = (page) => page.evaluate(() => JSON.parse(sessionStorage.symbolon).token);
const titles = (page) => page.locator('.graphiql-tab-button').allTextContents();
const activate = (page, title) => page.locator('.graphiql-tab-button', { hasText: title }).first().click();
const clipboard = (page) => page.evaluate(() => navigator.clipboard.readText());

/** Sends an operation from another client. */
const api = async (query, authorization, variables) => {
  const headers = { 'content-type': 'application/json', ...(authorization && { authorization }) };
  const response = await fetch(`${url}/graphql`, { method: 'POST', headers, body: JSON.stringify({ query, variables }) });
  return response.json();
};
const basic = ([username, password]) => `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
const revoke = (token) => api('mutation { revokeToken }', `Bearer ${token}`);

/** The text of a new countdown. */
const full = /^(1:00:00|59:\d\d)$/;

const passed = [];
const test = async (name, work) => {
  await work();
  passed.push(name);
  console.log(`ok ${name}`);
};

try {
  const { page, close } = await open();

  await test('the tour is one short operation in each tab', async () => {
    assert.deepEqual(await titles(page), ['Me', 'Register', 'Sessions', 'RevokeToken']);
    for (const width of [1280, 390]) {
      await page.setViewportSize({ width, height: 844 });
      for (const title of await titles(page)) {
        await activate(page, title);
        await page.waitForFunction((title) => document.querySelector('.graphiql-tab-active').innerText === title, title);
        const info = await page.locator(editor).first().evaluate(({ CodeMirror }) => CodeMirror.getScrollInfo());
        assert.ok(info.width <= info.clientWidth && info.height <= info.clientHeight, `${title} at ${width}: ${JSON.stringify(info)}`);
      }
    }
    await page.setViewportSize({ width: 1280, height: 760 });
    await page.getByRole('button', { name: 'New tab' }).click();
    assert.equal(await value(page, editor), '');
    await page.locator('.graphiql-tab-active .graphiql-tab-close').click();
    await activate(page, 'Me');
  });

  await test('without a token, the first operation is refused', async () => {
    assert.match(await run(page), /UNAUTHENTICATED[^]*MISSING/);
  });

  await test('a wrong password is reported', async () => {
    await page.fill('#username', ZOE[0]);
    await page.fill('#password', 'wrong password');
    await page.click('#sign-in');
    await page.getByRole('alert').filter({ hasText: 'The username or password is wrong.' }).waitFor();
    assert.equal(await page.locator('#password').evaluate((field) => document.activeElement === field), true);
  });

  await test('errors of a registration are next to the fields', async () => {
    await page.click('#register');
    const form = page.locator('#registration');
    await form.getByRole('button', { name: 'Register' }).click();
    const field = (name) => form.getByLabel(name, { exact: true });
    const error = (name) => field(name).evaluate((input) => document.getElementById(input.getAttribute('aria-describedby'))?.textContent ?? '');
    assert.equal(await error('Username'), 'Fill in this field.');
    await field('Username').fill(ZOE[0]);
    await field('E-mail (optional)').fill('nonsense');
    await field('Password').fill('short');
    await page.keyboard.press('Enter');
    await form.getByText('at least 8 characters').waitFor();
    assert.match(await error('Password'), /at least 8 characters/);
    assert.match(await error('E-mail (optional)'), /e-mail/i);
    assert.equal(await error('Username'), '');
    assert.equal(await field('E-mail (optional)').evaluate((input) => document.activeElement === input), true);
  });

  await test('registering signs in, with any characters in the password', async () => {
    const form = page.locator('#registration');
    await form.getByLabel('E-mail (optional)').fill('zoe@example.org');
    await form.getByLabel('Password').fill(ZOE[1]);
    await form.getByRole('button', { name: 'Register' }).click();
    await page.locator('#who', { hasText: ZOE[0] }).waitFor();
    assert.equal(await form.isVisible(), false);
    assert.equal(await page.locator('#register').isVisible(), false);
  });

  await test('the same operation succeeds after the sign-in', async () => {
    const answer = JSON.parse(await run(page));
    assert.equal(answer.data.me.username, ZOE[0]);
    assert.equal(answer.data.me.email, 'zoe@example.org');
    assert.match(await run(page, '{ users(first: 10) { totalCount } }'), /ROLE_REQUIRED/);
  });

  await test('status, duration and size are below the response that is displayed', async () => {
    const line = page.locator('.graphiql-footer p');
    const shows = (pattern) => line.filter({ hasText: pattern }).waitFor();
    const isEmpty = () => line.waitFor({ state: 'hidden' });
    const displays = (text) =>
      page.waitForFunction((text) => document.querySelector('.graphiql-response .CodeMirror').CodeMirror.getValue().includes(text), text);
    const ME = '{ me { username } }';
    const own = JSON.parse(await run(page, ME));
    const ofMe = new RegExp(`^200 · \\d+ ms · ${new TextEncoder().encode(JSON.stringify(own)).length} B$`);
    await shows(ofMe);
    // GraphiQL sends a query for the schema.
    await Promise.all([page.waitForResponse('**/graphql'), page.locator('button[aria-label="Re-fetch GraphQL schema"]').click()]);
    await page.waitForTimeout(100);
    await shows(ofMe);
    await run(page, '{ __schema { types { name description } } }');
    await shows(/^200 · \d+ ms · \d+\.\d KB$/);
    await run(page, '{ nothing }');
    await shows(/^400 · /);
    await write(page, VARIABLES, '{');
    await execute(page);
    await displays('invalid JSON');
    await isEmpty();
    await write(page, VARIABLES, '');
    await page.getByRole('button', { name: 'New tab' }).click();
    await isEmpty();
    await run(page, ME);
    await shows(ofMe);
    await page.locator('.graphiql-tab-active .graphiql-tab-close').click();
    await isEmpty();
    await page.locator('.graphiql-tab-button').first().click();

    // The slow response arrives after the one of a later request, and is not displayed.
    let release;
    const isReleased = new Promise((resolve) => (release = resolve));
    await page.route('**/graphql', async (route) => {
      if (route.request().postData().includes('Slow')) await isReleased;
      await route.continue();
    });
    await write(page, editor, 'query Slow { me { username email role } }');
    await parsed(page);
    await execute(page);
    await execute(page);
    await run(page, ME);
    await shows(ofMe);
    await Promise.all([page.waitForResponse('**/graphql'), release()]);
    await page.waitForTimeout(100);
    await shows(ofMe);
    await page.unroute('**/graphql');

    const failing = [
      ['does not answer', isEmpty, (route) => route.abort()],
      ['status 404', () => shows(/^404 · \d+ ms · 4 B$/), (route) => route.fulfill({ status: 404, body: 'page' })],
    ];
    for (const [text, expected, answer] of failing) {
      await page.route('**/graphql', answer);
      await execute(page);
      await displays(text);
      await expected();
      await page.unroute('**/graphql');
    }
    await run(page, ME);
    await shows(ofMe);
  });

  await test('the menu shows name, role and expiration, which no live region announces', async () => {
    await page.click('#menu-button');
    assert.match(await page.locator('#menu').innerText(), /zoë user\s+Session expires in/);
    const left = page.locator('#left');
    const first = await left.innerText();
    assert.match(first, full);
    await page.waitForFunction((first) => document.querySelector('#left').innerText !== first, first);
    assert.equal(await left.evaluate((element) => element.closest('[role], [aria-live]')?.outerHTML), undefined);
  });

  await test('the menu works with the keyboard', async () => {
    const focused = () => page.evaluate(() => document.activeElement.id);
    await page.keyboard.press('Escape');
    assert.equal(await page.locator('#menu').isVisible(), false);
    assert.equal(await focused(), 'menu-button');
    await page.keyboard.press('Enter');
    const order = [];
    for (let press = 0; press < 6; press += 1) {
      await page.keyboard.press('Tab');
      order.push(await focused());
    }
    assert.deepEqual(order, ['renew', 'copy-token', 'copy-curl', 'show-sessions', 'show-tokens', 'sign-out']);
    const outline = await page.locator('#sign-out').evaluate((button) => getComputedStyle(button).outlineStyle);
    assert.equal(outline, 'solid');
    await page.keyboard.press('Shift+Tab');
    await page.keyboard.press('Enter');
    await page.locator('#tokens').waitFor();
    assert.equal(await page.locator('#menu').isVisible(), false);
    await page.keyboard.press('Escape');
    assert.equal(await focused(), 'menu-button');
    await page.keyboard.press('Enter');
    await page.mouse.click(300, 500);
    assert.equal(await page.locator('#menu').isVisible(), false);
  });

  await test('the token and the operation as a curl command can be copied', async () => {
    await choose(page, 'copy-token');
    await page.locator('#done', { hasText: 'in the clipboard' }).waitFor();
    assert.equal(await clipboard(page), await tokenOf(page));
    await page.keyboard.press('Escape');
    const command = async (operation, variables = '') => {
      await write(page, editor, operation);
      await write(page, VARIABLES, variables);
      await parsed(page);
      await choose(page, 'copy-curl');
      await page.locator('#done', { hasText: 'The command is in the clipboard' }).waitFor();
      await page.keyboard.press('Escape');
      const text = await clipboard(page);
      return [text, JSON.parse(execFileSync('sh', ['-c', text], { stdio: ['ignore', 'pipe', 'ignore'] }))];
    };
    const quoted = `query One {\n  # It's "quoted": $HOME \\ \`id\`\n  me { username }\n}\n`;
    assert.equal((await command(quoted))[1].data.me.username, ZOE[0]);
    const named = 'query Type($name: String!) { __type(name: $name) { name } }';
    const [text, answer] = await command(named, `{ "name": "It's\\n$HOME" }`);
    assert.deepEqual(answer, { data: { __type: null } });
    assert.ok(!text.includes('operationName'));
    // With several operations, the command contains the name of the one at the cursor.
    const several = await command('query A { me { id } }\nquery B { me { username } }');
    assert.match(several[0], /"operationName":"A"/);
    assert.deepEqual(Object.keys(several[1].data.me), ['id']);
    await write(page, VARIABLES, '{');
    await choose(page, 'copy-curl');
    await page.locator('#done', { hasText: 'not valid' }).waitFor();
    await write(page, VARIABLES, '');
    await page.keyboard.press('Escape');
    await write(page, HEADERS, '{ "authorization": "Bearer own" }');
    const [own, refusal] = await command('{ me { id } }');
    assert.equal(refusal.errors[0].extensions.reason, 'TOKEN_INVALID');
    assert.ok(!own.includes(await tokenOf(page)));
    await write(page, HEADERS, '');
  });

  await test('an Authorization header of the user has precedence and does not end the session', async () => {
    await write(page, HEADERS, JSON.stringify({ Authorization: `Bearer ${'A'.repeat(32)}` }));
    assert.match(await run(page, '{ me { id } }'), /TOKEN_INVALID/);
    await write(page, HEADERS, '');
    assert.match(await run(page, '{ me { id username } }'), /"username": "zoë"/);
    // This operation takes a password. The refusal does not concern the token.
    assert.match(await run(page, 'mutation { createToken { token } }'), /UNAUTHENTICATED/);
    assert.match(await run(page, '{ me { id username } }'), /"username": "zoë"/);
  });

  await test('sessions are listed and revoked', async () => {
    const phone = (await api('mutation { createToken(device: "<b>phone") { token } }', basic(ZOE))).data.createToken;
    const laptop = (await api('mutation { createToken(device: "laptop") { token } }', basic(ZOE))).data.createToken;
    await api('mutation { createToken { token } }', basic(ZOE));
    await choose(page, 'show-sessions');
    const items = page.locator('#sessions li');
    await items.nth(3).waitFor();
    const texts = await items.allInnerTexts();
    assert.match(texts.find((text) => text.startsWith('Explorer')), /this one\s+created just now · .*expires in (1 hour|59 minutes|60 minutes)/);
    assert.match(texts.join(), /Shared session\n/);
    assert.equal(await items.filter({ hasText: 'this one' }).getByRole('button').count(), 0);
    await page.getByRole('button', { name: 'Revoke <b>phone' }).click();
    await page.waitForFunction(() => document.querySelectorAll('#sessions li').length === 3);
    assert.equal((await api('{ me { id } }', `Bearer ${phone.token}`)).errors[0].extensions.reason, 'TOKEN_EXPIRED');
    assert.ok((await api('{ me { id } }', `Bearer ${laptop.token}`)).data);
    await page.click('#revoke-others');
    await page.waitForFunction(() => document.querySelectorAll('#sessions li').length === 1);
    assert.equal((await api('{ me { id } }', `Bearer ${laptop.token}`)).errors[0].extensions.reason, 'TOKEN_EXPIRED');
    await page.locator('#sessions .close').click();
    assert.match(await run(page, '{ me { username } }'), /"username": "zoë"/);
  });

  let accessToken;
  await test('access tokens are created with the password, shown once, listed and revoked', async () => {
    await choose(page, 'show-tokens');
    const dialog = page.locator('#tokens');
    await dialog.getByText('You have no access tokens.').waitFor();
    const create = async (name, password, scopes) => {
      await dialog.getByLabel('Name').fill(name);
      if (scopes !== undefined) await dialog.getByLabel('Scopes', { exact: true }).fill(scopes);
      await dialog.getByLabel('Your password').fill(password);
      await dialog.getByRole('button', { name: 'Create' }).click();
    };
    await create('build', 'wrong password');
    await dialog.getByText('The password is wrong.').waitFor();
    await create('n'.repeat(65), ZOE[1]);
    await dialog.locator('[name=name][aria-invalid=true]').waitFor();
    await create('build', ZOE[1], 'account:read orders:write');
    accessToken = await dialog.locator('#new-token code').innerText();
    assert.match(accessToken, /^sym_\w{38}$/);
    await dialog.getByRole('button', { name: 'Copy' }).click();
    await dialog.getByRole('button', { name: 'Copied' }).waitFor();
    assert.equal(await clipboard(page), accessToken);
    assert.match(await dialog.locator('li').innerText(), /^build account:read orders:write\n.*created just now · not used yet · expires in 30 days/);
    assert.equal((await api('{ me { username } }', `Bearer ${accessToken}`)).data.me.username, ZOE[0]);
    const fields = await dialog.locator('input').evaluateAll((all) => all.map(({ value }) => value));
    assert.deepEqual(fields, ['', 'account:read', '']);
    await page.keyboard.press('Escape');
    await choose(page, 'show-tokens');
    await dialog.locator('li').waitFor();
    assert.equal(await page.getByText(accessToken).count(), 0);
    await dialog.getByRole('button', { name: 'Revoke build' }).click();
    await dialog.getByText('You have no access tokens.').waitFor();
    assert.ok((await api('{ me { username } }', `Bearer ${accessToken}`)).errors);
    await page.keyboard.press('Escape');
  });

  await test('only the token and the queries are stored, in the tab', async () => {
    const secret = 'a-secret-that-is-nowhere-else';
    await write(page, VARIABLES, JSON.stringify({ name: `${secret}-variable` }));
    await write(page, HEADERS, JSON.stringify({ 'accept-language': `${secret}-header` }));
    await run(page, 'query Named($name: String!) { __type(name: $name) { name } }');
    // GraphiQL stores the text after a pause.
    await page.waitForFunction(() => sessionStorage['graphiql:tabState'].includes('query Named'));
    await page.waitForTimeout(600);
    const [beyond, within] = await stored(page);
    assert.equal(beyond, '{}');
    assert.equal(await page.evaluate(() => document.cookie), '');
    assert.match(await tokenOf(page), /^symd_/);
    for (const never of [secret, ZOE[1], accessToken, 'zoe@example.org']) assert.ok(!within.includes(never), never);
    await page.getByRole('button', { name: 'Open settings dialog' }).click();
    await page.getByText('Clear storage').waitFor();
    assert.equal(await page.getByText('Persist headers').count(), 0);
    await page.keyboard.press('Escape');
  });

  await test('a reload keeps the session and the queries', async () => {
    await page.reload();
    await loaded(page);
    await page.locator('#who', { hasText: ZOE[0] }).waitFor();
    assert.deepEqual(await titles(page), ['Named', 'Register', 'Sessions', 'RevokeToken']);
    assert.match(await value(page, editor), /query Named/);
    assert.match(await run(page, '{ me { username } }'), /"username": "zoë"/);
  });

  await test('the token is renewed with a button', async () => {
    await page.evaluate(() => {
      const kept = JSON.parse(sessionStorage.symbolon);
      kept.expiresAt -= 50 * 60_000;
      sessionStorage.symbolon = JSON.stringify(kept);
    });
    await page.reload();
    await loaded(page);
    await page.click('#menu-button');
    assert.match(await page.locator('#left').innerText(), /^(10|9):/);
    await page.locator('#renew').focus();
    await page.keyboard.press('Enter');
    await page.locator('#done', { hasText: 'Renewed.' }).waitFor();
    assert.match(await page.locator('#left').innerText(), full);
    assert.equal(await page.evaluate(() => document.activeElement.id), 'renew');
    await page.click('#renew');
    await page.locator('#done', { hasText: 'Renewed.' }).waitFor();
    // Near the maximum age of a session, a renewed token gets less than its lifetime.
    await page.evaluate(() => {
      const kept = JSON.parse(sessionStorage.symbolon);
      sessionStorage.symbolon = JSON.stringify({ ...kept, lifetime: 2 * kept.lifetime });
    });
    await page.reload();
    await loaded(page);
    await choose(page, 'renew');
    await page.locator('#done', { hasText: 'maximum age' }).waitFor();
    await page.keyboard.press('Escape');
  });

  await test('signing out revokes the token and clears private results', async () => {
    await write(page, HEADERS, '{ "x-private": "1" }');
    await run(page, '{ me { username email } }');
    await activate(page, 'Sessions');
    await write(page, VARIABLES, '{ "private": 1 }');
    await run(page);
    await page.getByRole('button', { name: 'Show History' }).click();
    await page.locator('.graphiql-history-item').first().waitFor();
    const [token, before] = [await tokenOf(page), await titles(page)];
    await choose(page, 'sign-out');
    await page.getByRole('status').filter({ hasText: 'Signed out.' }).waitFor();
    assert.equal(await page.evaluate(() => document.activeElement.id), 'username');
    const show = page.getByRole('button', { name: 'Show History' });
    if (await show.isVisible()) await show.click();
    await page.locator('.graphiql-plugin').filter({ hasText: 'History' }).waitFor();
    assert.equal(await page.locator('.graphiql-history-item').count(), 0);
    await page.getByRole('button', { name: 'Hide History' }).click();
    assert.deepEqual(await titles(page), before);
    assert.match(await value(page, editor), /query Sessions/);
    for (const title of await titles(page)) {
      await activate(page, title);
      for (const pane of [VARIABLES, HEADERS, '.graphiql-response .CodeMirror']) assert.equal(await value(page, pane), '');
    }
    await activate(page, before[0]);
    assert.match(await value(page, editor), /me \{ username email \}/);
    const everything = (await page.content()) + (await stored(page)).join();
    for (const text of ['zoe@example.org', token]) assert.ok(!everything.includes(text), text);
    assert.match(await run(page, '{ me { id } }'), /UNAUTHENTICATED[^]*MISSING/);
    assert.equal((await api('{ me { id } }', `Bearer ${token}`)).errors[0].extensions.reason, 'TOKEN_EXPIRED');
  });

  await test('signing out does not sign out other clients', async () => {
    const shared = (await api('mutation { createToken { token } }', basic(ZOE))).data.createToken.token;
    await signIn(page, ZOE);
    await choose(page, 'sign-out');
    await status(page, 'Signed out.');
    assert.ok((await api('{ me { id } }', `Bearer ${shared}`)).data);
  });

  await test('a refusal of the token ends the session, with the reason', async () => {
    await signIn(page, ZOE);
    await run(page, '{ me { email } }');
    await revoke(await tokenOf(page));
    assert.match(await run(page, '{ me { id } }'), /TOKEN_EXPIRED/);
    await page.getByRole('alert').filter({ hasText: 'was revoked. Sign in again.' }).waitFor();
    assert.equal(await page.locator('#account').isVisible(), false);
    // The refusal stays visible.
    assert.match(await response(page), /TOKEN_EXPIRED/);

    await signIn(page, ZOE);
    await revoke(await tokenOf(page));
    // The reason remains after further reloads, until the next sign-in.
    for (let reloads = 0; reloads < 2; reloads += 1) {
      await page.reload();
      await status(page, 'was revoked. Sign in again.');
      assert.equal(await page.locator('#username').isVisible(), true);
      await loaded(page);
    }

    await signIn(page, ZOE);
    await revoke(await tokenOf(page));
    await choose(page, 'show-sessions');
    await status(page, 'was revoked. Sign in again.');
    assert.equal(await page.locator('dialog[open]').count(), 0);

    await page.evaluate(() => {
      const token = 'A'.repeat(32);
      sessionStorage.symbolon = JSON.stringify({ username: 'zoë', token, expiresAt: Date.now() + 1e6, lifetime: 1e6 });
    });
    await page.reload();
    await status(page, 'is unknown to the server');
    await page.evaluate(() => {
      sessionStorage.symbolon = JSON.stringify({ username: 'zoë', token: 'A', expiresAt: Date.now() - 1, lifetime: 1e6 });
    });
    await page.reload();
    await status(page, 'Your session has expired. Sign in again.');
    await loaded(page);
  });

  await test('a mutation that revokes the token ends the session at once', async () => {
    const changePassword = `mutation { changePassword(input: { currentPassword: "${ZOE[1]}", newPassword: "${ZOE[1]}2" }) { userErrors { code } } }`;
    const line = page.locator('.graphiql-footer p');
    for (const [operation, result] of [[undefined, /"revokeToken": true/], [changePassword, /"userErrors": \[\]/]]) {
      await signIn(page, ZOE);
      await activate(page, 'RevokeToken');
      assert.match(await run(page, operation), result);
      await status(page, 'was revoked. Sign in again.');
      assert.match(await response(page), result);
      await line.filter({ hasText: /^200 · \d+ ms · \d\d B$/ }).waitFor();
    }
    ZOE[1] += '2';
    // The result contains private data of a user. It does not remain for the next one.
    await signIn(page, [ADMIN, ADMIN_PASSWORD]);
    assert.equal(await response(page), '');
    await line.waitFor({ state: 'hidden' });
    await choose(page, 'sign-out');
  });

  await test('an answer to an older token does not end the session', async () => {
    await signIn(page, ZOE);
    await write(page, editor, '{ me { id } }');
    let release;
    const held = new Promise((resolve) => (release = resolve));
    await page.route('**/graphql', async (route) => {
      if (route.request().postDataJSON().query !== '{ me { id } }') return route.continue();
      await held;
      await route.continue();
    });
    const asked = page.waitForRequest((request) => request.postDataJSON()?.query === '{ me { id } }');
    const refused = page.waitForResponse(async (response) => (await response.text()).includes('TOKEN_EXPIRED'));
    await page.click('.graphiql-execute-button');
    await asked;
    await choose(page, 'sign-out');
    await status(page, 'Signed out.');
    await signIn(page, ZOE);
    release();
    await refused;
    await page.unroute('**/graphql');
    assert.match(await run(page, '{ me { username } }'), /"username": "zoë"/);
    assert.equal(await page.locator('#account').isVisible(), true);
    await choose(page, 'sign-out');
  });

  await test('answers of an earlier session are not shown', async () => {
    /** Holds the answer of an operation that contains the text, and signs out and in as another user in the meantime. */
    const meanwhile = async (text, act) => {
      let release;
      const held = new Promise((resolve) => (release = resolve));
      let answered = false;
      await page.route('**/graphql', async (route) => {
        if (!route.request().postDataJSON().query.includes(text)) return route.continue();
        const response = await route.fetch();
        answered = true;
        await held;
        await route.fulfill({ response });
      });
      await signIn(page, ZOE);
      await act();
      while (!answered) await new Promise((resolve) => setTimeout(resolve, 10));
      if (await page.locator('dialog[open]').count()) await page.keyboard.press('Escape');
      await choose(page, 'sign-out');
      await status(page, 'Signed out.');
      await signIn(page, [ADMIN, ADMIN_PASSWORD]);
      const arrived = page.waitForResponse((response) => response.request().postDataJSON().query.includes(text));
      release();
      await (await arrived).finished();
      await page.unroute('**/graphql');
      // An operation of the new session, after which the late answer has been processed.
      await choose(page, 'renew');
      await page.locator('#done', { hasText: 'Renewed.' }).waitFor();
      await page.keyboard.press('Escape');
      assert.equal(await page.locator('dialog[open]').count(), 0);
    };
    await meanwhile('createAccessToken', async () => {
      await choose(page, 'show-tokens');
      await page.locator('#tokens').getByLabel('Name').fill('late');
      await page.locator('#tokens').getByLabel('Your password').fill(ZOE[1]);
      await page.locator('#tokens').getByRole('button', { name: 'Create' }).click();
    });
    assert.doesNotMatch(await page.content(), /sym_\w{38}/);
    await choose(page, 'show-tokens');
    await page.locator('#no-tokens').waitFor();
    assert.equal(await page.locator('#tokens').evaluate(({ innerText }) => /sym_|ended|late/.test(innerText)), false);
    await page.keyboard.press('Escape');
    await choose(page, 'sign-out');

    await meanwhile('sessions { nodes', () => choose(page, 'show-sessions'));
    assert.equal(await page.locator('#sessions li').count(), 0);
    await choose(page, 'sign-out');

    await write(page, editor, 'mutation { renewToken { token } }');
    await parsed(page);
    await meanwhile('{ me { username role } }', () => page.locator('.graphiql-execute-button').first().click());
    assert.doesNotMatch(await response(page), /token/);
    await choose(page, 'sign-out');
  });

  await test('answers that are not GraphQL are reported', async () => {
    await signIn(page, ZOE);
    const answers = [
      [(route) => route.abort(), 'The server does not answer.'],
      [(route) => route.fulfill({ status: 404, body: '<html>' }), 'The answer is not GraphQL (status 404).'],
      [(route) => route.fulfill({ status: 400, json: { errors: [null] } }), 'The server refused the operation.'],
    ];
    for (const [answer, message] of answers) {
      await page.route('**/graphql', answer);
      await choose(page, 'renew');
      await page.locator('#done', { hasText: message }).waitFor();
      await page.keyboard.press('Escape');
      await page.unroute('**/graphql');
    }
    await choose(page, 'sign-out');
  });

  await test('one theme setting controls the page and GraphiQL', async () => {
    const grounds = () =>
      page.evaluate(() =>
        ['body', 'header', '.graphiql-container', '.graphiql-editors'].map(
          (selector) => getComputedStyle(document.querySelector(selector)).backgroundColor.match(/\d+/)[0] > 128,
        ),
      );
    const light = [true, true, true, true];
    const dark = [false, false, false, false];
    const becomes = async (expected) => {
      await page.waitForFunction((dark) => document.body.classList.contains('graphiql-dark') === dark, expected === dark);
      assert.deepEqual(await grounds(), expected);
    };
    await becomes(light);
    await page.emulateMedia({ colorScheme: 'dark' });
    await becomes(dark);
    await page.selectOption('#theme', 'light');
    await becomes(light);
    await page.emulateMedia({ colorScheme: 'light' });
    await page.selectOption('#theme', 'dark');
    await becomes(dark);
    await page.reload();
    await loaded(page);
    await becomes(dark);
    await page.getByRole('button', { name: 'Open settings dialog' }).click();
    await page.getByText('Clear storage').waitFor();
    assert.equal(await page.getByRole('dialog').getByText('Theme').count(), 0);
    await page.keyboard.press('Escape');
    assert.equal((await stored(page))[0], '{}');
  });
  await close();

  await test('an administrator gets the operations of administrators, beside unchanged tabs only', async () => {
    const { page, close } = await open();
    const admin = [ADMIN, ADMIN_PASSWORD];
    await run(page);
    await signIn(page, admin);
    const all = ['Me', 'Register', 'Users', 'Audit', 'Invite', 'Sessions', 'RevokeToken'];
    await page.locator('.graphiql-tab-button', { hasText: 'Users' }).waitFor();
    assert.deepEqual(await titles(page), all);
    assert.match(await response(page), /MISSING/);
    await activate(page, 'Users');
    assert.ok(JSON.parse(await run(page)).data.users.totalCount >= 2);
    await activate(page, 'Audit');
    assert.ok(JSON.parse(await run(page)).data.auditEvents.nodes.length > 0);
    await activate(page, 'Invite');
    await write(page, HEADERS, JSON.stringify({ Authorization: basic(admin) }));
    // If the server has no public URL, the operation has an error.
    assert.match(await run(page), /userErrors|public URL/);
    await choose(page, 'sign-out');
    await page.locator('.graphiql-tab-button', { hasText: 'Users' }).waitFor({ state: 'detached' });
    assert.deepEqual(await titles(page), ['Me', 'Register', 'Sessions', 'RevokeToken']);
    await write(page, editor, 'query Mine { me { id } }');
    await page.locator('.graphiql-tab-button', { hasText: 'Mine' }).waitFor();
    await signIn(page, admin);
    await choose(page, 'show-tokens');
    await page.keyboard.press('Escape');
    assert.deepEqual(await titles(page), ['Mine', 'Register', 'Sessions', 'RevokeToken']);
    await close();
  });

  await test('without registration, the page has no form for it', async () => {
    const edit = (html) => html.replace(/<dialog id="registration"[^]*?<\/dialog>/, '').replace(/<button id="register".*/, '');
    const { page, close } = await open({ edit });
    assert.deepEqual(await titles(page), ['Me', 'Sessions', 'RevokeToken']);
    assert.equal(await page.getByText('Register').count(), 0);
    await signIn(page, ZOE);
    await choose(page, 'sign-out');
    await status(page, 'Signed out.');
    await close();
  });

  await test('behind a proxy that removes a prefix, the page works with and without a slash at the end', async () => {
    const { origin } = new URL(url);
    for (const end of ['', '/', '?a=b']) {
      const { page, close } = await open();
      // Other paths are those of another application.
      await page.route(`${origin}/**`, (route) => route.fulfill({ status: 404, contentType: 'text/css' }));
      await page.route(`${origin}/auth-api**`, (route) => answer(route));
      await page.route(`${origin}/auth-api/**`, (route) => answer(route));
      const answer = async (route) => {
        const rest = route.request().url().slice(`${origin}/auth-api`.length).replace(/^\/?/, '/');
        await route.fulfill({ response: await route.fetch({ url: url + rest }) });
      };
      await page.goto(`${origin}/auth-api${end}`);
      await loaded(page);
      await signIn(page, ZOE);
      assert.match(await run(page, '{ me { username } }'), /"username": "zoë"/);
      assert.equal(new URL(page.url()).pathname, '/auth-api/');
      assert.equal(await page.locator('header').evaluate((header) => getComputedStyle(header).display), 'flex');
      await close();
    }
  });

  await test('the page works on a schema without sessions, access tokens and introspection', async () => {
    const { page, close } = await open();
    await signIn(page, ZOE);
    await page.route('**/graphql', (route) => {
      const { query } = route.request().postDataJSON();
      if (!/sessions|accessTokens|__schema/.test(query)) return route.continue();
      const extensions = { code: 'GRAPHQL_VALIDATION_FAILED' };
      return route.fulfill({ json: { errors: [{ message: 'Unknown field.', extensions }] } });
    });
    await page.reload();
    await loaded(page);
    for (const [button, dialog] of [['show-sessions', 'sessions'], ['show-tokens', 'tokens']]) {
      await choose(page, button);
      await page.locator(`#${dialog}`).getByText('The schema of this server does not support this').waitFor();
      await page.keyboard.press('Escape');
    }
    assert.match(await run(page, '{ me { username } }'), /"username": "zoë"/);
    await close();
  });

  await test('a token is renewed while its page is used, and expires otherwise', async () => {
    const { page, close } = await open();
    await page.clock.install();
    await page.reload();
    await loaded(page);
    const renews = (request) => request.postData()?.includes('renewToken') ?? false;
    let renewals = 0;
    page.on('request', (request) => (renewals += renews(request) ? 1 : 0));
    await signIn(page, ZOE);
    const left = () => page.locator('#left').textContent();
    assert.match(await left(), full);
    await page.clock.fastForward('20:00');
    await page.keyboard.press('Shift');
    await page.clock.runFor(5_000);
    assert.equal(renewals, 0, 'more than half of the lifetime remains');
    await page.clock.fastForward('20:00');
    await page.clock.runFor(5_000);
    assert.equal(renewals, 0, 'the page is not in use');
    assert.match(await left(), /^19:/);
    await page.keyboard.press('Shift');
    await page.clock.runFor(2_000);
    await page.waitForFunction(() => /^(1:00:00|59:\d\d)$/.test(document.querySelector('#left').textContent));
    assert.equal(renewals, 1);

    await page.route('**/graphql', (route) => route.abort());
    const second = page.waitForRequest(renews);
    await page.clock.fastForward('40:00');
    await page.keyboard.press('Shift');
    await page.clock.runFor(2_000);
    await second;
    const third = page.waitForRequest(renews);
    await page.clock.runFor(40_000);
    assert.equal(renewals, 2, 'at most one attempt in a minute');
    await page.clock.runFor(25_000);
    await third;
    assert.match(await left(), /^1[78]:/);
    await choose(page, 'renew');
    await page.locator('#done', { hasText: 'The server does not answer.' }).waitFor();
    await page.clock.fastForward('20:00');
    await status(page, 'Your session has expired. Sign in again.');
    await page.unroute('**/graphql');
    await page.context().close();
  });

  let names = 0;
  const states = async (page, check) => {
    await check('signed-out');
    await page.click('#register');
    await page.keyboard.press('Enter');
    await page.locator('.field-error').first().waitFor();
    await check('register');
    await page.keyboard.press('Escape');
    await signIn(page, ZOE);
    await run(page);
    await check('signed-in');
    await page.click('#menu-button');
    await check('menu');
    await page.click('#show-sessions');
    await page.locator('#sessions li').first().waitFor();
    await check('sessions');
    await page.keyboard.press('Escape');
    await choose(page, 'show-tokens');
    const dialog = page.locator('#tokens');
    await dialog.waitFor();
    await dialog.getByLabel('Name').fill(`laptop ${(names += 1)}`);
    await dialog.getByLabel('Your password').fill(ZOE[1]);
    await page.keyboard.press('Enter');
    await page.locator('#new-token code').waitFor();
    await check('tokens');
    await page.keyboard.press('Escape');
  };

  await test('axe-core finds no violation in any state, and nothing is cut off on a phone', async () => {
    for (const [width, colorScheme] of [[1280, 'light'], [390, 'dark']]) {
      const { page, close } = await open({ colorScheme, viewport: { width, height: 844 } });
      await page.evaluate(axe);
      const check = async (state) => {
        const found = await page.evaluate(async () => {
          const options = { resultTypes: ['violations'], elementRef: true };
          const { violations } = await axe.run(options);
          // The scrolling part of GraphiQL's editors contains no element with the focus, because CodeMirror scrolls when the
          // cursor moves in its text field, which is beside that part.
          const isOfEditor = ({ element }) => element.matches('.CodeMirror-scroll');
          return violations.flatMap(({ id, nodes }) =>
            nodes
              .filter((node) => id !== 'scrollable-region-focusable' || !isOfEditor(node))
              .map(({ html, failureSummary }) => [id, html, failureSummary]),
          );
        });
        assert.deepEqual(found, [], `${state} at ${width}`);
        const wide = await page.evaluate(() => document.documentElement.scrollWidth);
        assert.ok(wide <= width, `${state} is ${wide} pixels wide at ${width}`);
      };
      if (width === 390) {
        const bar = await page.locator('header').boundingBox();
        assert.ok(bar.height <= 100, `the bar is ${bar.height} pixels high`);
        for (const pane of ['.graphiql-query-editor', '.graphiql-response']) {
          const box = await page.locator(`${pane} .CodeMirror`).boundingBox();
          assert.ok(box.height >= 200 && box.width >= 340, `${pane}: ${JSON.stringify(box)}`);
        }
      }
      await states(page, check);
      for (const plugin of ['Documentation Explorer', 'History']) {
        await page.getByRole('button', { name: `Show ${plugin}` }).click();
        await page.locator('.graphiql-plugin').filter({ hasText: plugin === 'History' ? 'Me' : 'Root Types' }).waitFor();
        await check(plugin);
        await page.getByRole('button', { name: `Hide ${plugin}` }).click();
      }
      await page.getByRole('button', { name: 'Headers', exact: true }).click();
      await check('headers');
      await page.getByRole('button', { name: 'Open settings dialog' }).click();
      await page.getByText('Clear storage').waitFor();
      await check('settings');
      await close();
    }
  });

  await test('at a zoom of 200 %, the page scrolls, and the query can be edited', async () => {
    const { page, close } = await open({ viewport: { width: 640, height: 360 } });
    for (const pane of ['.graphiql-query-editor', '.graphiql-response']) {
      const box = await page.locator(`${pane} .CodeMirror`).boundingBox();
      assert.ok(box.height >= 100, `${pane}: ${JSON.stringify(box)}`);
    }
    assert.ok(await page.evaluate(() => document.documentElement.scrollHeight > innerHeight));
    await close();
  });

  if (shots) {
    for (const colorScheme of ['light', 'dark']) {
      for (const [width, height] of [[1440, 900], [768, 1024], [390, 844]]) {
        const { page, context } = await open({ colorScheme, viewport: { width, height } });
        await states(page, (state) => page.screenshot({ path: `${shots}/${state}-${colorScheme}-${width}.png` }));
        await context.close();
      }
    }
  }
  console.log(`${passed.length} passed, 0 failed`);
} finally {
  await browser.close();
}
