// The explorer in a real browser: register, sign in, run the tour, see the guard, sign out.
//   SYMBOLON_URL=http://127.0.0.1:8000 node explorer.mjs [FOLDER FOR SCREENSHOTS]
import assert from 'node:assert/strict';
import { launch } from './chromium.mjs';

const url = process.env.SYMBOLON_URL;
const shots = process.argv[2];
const browser = await launch();

/** Opens a page that fails the test if it requests another origin or violates the content security policy. */
const open = async (options = {}) => {
  const context = await browser.newContext({ viewport: { width: 1280, height: 760 }, ...options });
  const page = await context.newPage();
  const strangers = [];
  const complaints = [];
  page.on('request', (request) => {
    const to = new URL(request.url());
    if (!['data:', 'blob:'].includes(to.protocol) && to.origin !== new URL(url).origin) {
      strangers.push(request.url());
    }
  });
  page.on('console', (message) => {
    if (message.type() === 'error') complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  await page.goto(url);
  return { context, page, strangers, complaints };
};

/** Runs an operation in GraphiQL and returns the displayed response. */
const run = async (page, operation) => {
  const before = await page.locator('.result-window').innerText();
  const editor = page.locator('.graphiql-query-editor .CodeMirror').first();
  await editor.evaluate((element, text) => element.CodeMirror.setValue(text), operation);
  // With several operations, the button opens a menu of them.
  await page.locator('.graphiql-execute-button:not([aria-haspopup])').click();
  await page.waitForFunction(
    (before) => {
      const now = document.querySelector('.result-window')?.innerText;
      return now !== before && /"(data|errors)"/.test(now ?? '');
    },
    before,
    { timeout: 15_000 },
  );
  return page.locator('.result-window').innerText();
};

/** The text of a new countdown. */
const full = /^(1:00:00|59:\d\d)$/;

const passed = [];
const test = async (name, work) => {
  await work();
  passed.push(name);
  console.log(`ok ${name}`);
};

try {
  const { page, strangers, complaints, context } = await open();
  await page.waitForSelector('.graphiql-query-editor .CodeMirror', { timeout: 30_000 });

  await test('the first tab holds a tour', async () => {
    const text = await page
      .locator('.graphiql-query-editor .CodeMirror')
      .first()
      .evaluate((element) => element.CodeMirror.getValue());
    assert.match(text, /Welcome to Symbolon/);
    assert.match(text, /query Me/);
  });

  await test('a guarded field is refused when nobody is signed in', async () => {
    assert.match(await run(page, '{ me { username } }'), /UNAUTHENTICATED[^]*MISSING/);
  });

  await test('a wrong password is told in words', async () => {
    await page.fill('#username', 'zoë');
    await page.fill('#password', 'wrong password');
    await page.click('#sign-in');
    await page.getByRole('alert').filter({ hasText: 'The username or password is wrong.' }).waitFor();
  });

  await test('what is wrong with a registration is told in words', async () => {
    await page.fill('#password', 'short');
    await page.click('#register');
    await page.getByRole('alert').filter({ hasText: 'at least 8 characters' }).waitFor();
  });

  await test('registering signs in, whatever characters the password has', async () => {
    await page.fill('#password', 'pässwörd ☠ 1');
    await page.click('#register');
    await page.locator('#who', { hasText: 'zoë' }).waitFor();
    assert.match(await page.locator('#left').innerText(), full);
  });

  await test('the time that the token has left runs down', async () => {
    const first = await page.locator('#left').innerText();
    await page.waitForFunction(
      (first) => document.querySelector('#left').innerText !== first,
      first,
      { timeout: 10_000 },
    );
  });

  await test('every query of GraphiQL carries the token', async () => {
    assert.match(await run(page, '{ me { username role } }'), /"username": "zoë"/);
    assert.match(await run(page, '{ users(first: 10) { totalCount } }'), /ROLE_REQUIRED/);
  });

  await test('an Authorization header of one’s own is left alone', async () => {
    await page.getByRole('button', { name: 'Headers' }).click();
    const headers = page.locator('.graphiql-editor-tool .CodeMirror').last();
    const write = (text) =>
      headers.evaluate((element, text) => element.CodeMirror.setValue(text), text);
    await write(JSON.stringify({ Authorization: `Bearer ${'A'.repeat(32)}` }));
    assert.match(await run(page, '{ me { id } }'), /TOKEN_INVALID/);
    await write('');
    assert.match(await run(page, '{ me { id username } }'), /"username": "zoë"/);
  });

  await test('the password is kept nowhere, the token for this tab only', async () => {
    const kept = await page.evaluate(() => ({
      local: JSON.stringify({ ...localStorage }),
      tab: JSON.stringify({ ...sessionStorage }),
      field: document.querySelector('#password').value,
      cookies: document.cookie,
    }));
    const { token } = JSON.parse(JSON.parse(kept.tab).symbolon);
    assert.match(token, /^[A-Za-z0-9+/]{32}$/);
    assert.ok(!kept.local.includes(token));
    assert.ok(!(kept.local + kept.tab + kept.field + kept.cookies).includes('pässwörd'));
  });

  await test('a reload keeps the session', async () => {
    await page.reload();
    await page.locator('#who', { hasText: 'zoë' }).waitFor();
    await page.waitForSelector('.graphiql-query-editor .CodeMirror');
    assert.match(await run(page, '{ me { username } }'), /"username": "zoë"/);
  });

  await test('the token is renewed at the press of a button', async () => {
    await page.evaluate(() => {
      const kept = JSON.parse(sessionStorage.symbolon);
      kept.expiresAt -= 50 * 60_000;
      sessionStorage.symbolon = JSON.stringify(kept);
    });
    await page.reload();
    await page.locator('#left', { hasText: /^(10|9):/ }).waitFor();
    await page.getByRole('button', { name: 'Renew' }).focus();
    await page.keyboard.press('Enter');
    await page.locator('#left', { hasText: full }).waitFor();
    await page.getByRole('status').filter({ hasText: 'Renewed.' }).waitFor();
    assert.equal(await page.evaluate(() => document.activeElement.id), 'renew');
    // A second renewal does not extend the session.
    await page.click('#renew');
    await page.getByRole('status').filter({ hasText: 'cannot live longer' }).waitFor();
    await page.waitForSelector('.graphiql-query-editor .CodeMirror');
    assert.match(await run(page, '{ me { username } }'), /"username": "zoë"/);
  });

  await test('signing out ends the token on the server', async () => {
    const token = await page.evaluate(() => JSON.parse(sessionStorage.symbolon).token);
    await page.click('#sign-out');
    await page.getByRole('status').filter({ hasText: 'Signed out.' }).waitFor();
    assert.match(await run(page, '{ me { id } }'), /UNAUTHENTICATED[^]*MISSING/);
    const response = await fetch(`${url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
      body: '{"query":"{ me { id } }"}',
    });
    assert.equal((await response.json()).errors[0].extensions.reason, 'TOKEN_EXPIRED');
  });

  await test('the keyboard is enough, and every field has a name', async () => {
    await page.reload();
    await page.waitForSelector('.graphiql-query-editor .CodeMirror');
    await page.getByLabel('Username').focus();
    await page.keyboard.type('ZOË');
    await page.keyboard.press('Tab');
    await page.keyboard.type('pässwörd ☠ 1');
    await page.keyboard.press('Enter');
    await page.locator('#who', { hasText: 'zoë' }).waitFor();
    const focused = await page.evaluate(() => document.activeElement.id);
    assert.equal(focused, 'sign-out');
  });

  await test('nobody else is asked, and the content security policy holds', async () => {
    assert.deepEqual(strangers, []);
    assert.deepEqual(complaints, []);
  });

  await test('at the width of a phone nothing is cut off', async () => {
    await page.setViewportSize({ width: 360, height: 740 });
    const wide = await page.evaluate(() => document.querySelector('header').scrollWidth);
    assert.ok(wide <= 360, `the bar is ${wide} pixels wide`);
    if (shots) await page.screenshot({ path: `${shots}/explorer-phone.png` });
  });
  await context.close();

  await test('a token is renewed while its page is used, and dies where it cannot be', async () => {
    const { page, context } = await open();
    await page.clock.install();
    await page.reload();
    const renews = (request) => request.postData()?.includes('renewToken') ?? false;
    let renewals = 0;
    page.on('request', (request) => (renewals += renews(request) ? 1 : 0));
    await page.fill('#username', 'zoë');
    await page.fill('#password', 'pässwörd ☠ 1');
    await page.click('#sign-in');
    await page.locator('#left', { hasText: full }).waitFor();
    await page.clock.fastForward('20:00');
    await page.keyboard.press('Shift');
    await page.clock.runFor(5_000);
    assert.equal(renewals, 0, 'more than half of the lifetime remains');
    await page.clock.fastForward('20:00');
    await page.clock.runFor(5_000);
    assert.equal(renewals, 0, 'nobody is there');
    assert.match(await page.locator('#left').innerText(), /^19:/);
    await page.keyboard.press('Shift');
    await page.clock.runFor(2_000);
    await page.locator('#left', { hasText: full }).waitFor();
    assert.equal(renewals, 1);

    const refusal = { message: 'No.', extensions: { code: 'UNAUTHENTICATED' } };
    await page.route('**/graphql', (route) => route.fulfill({ json: { errors: [refusal] } }));
    const second = page.waitForRequest(renews);
    await page.clock.fastForward('40:00');
    await page.keyboard.press('Shift');
    await page.clock.runFor(2_000);
    await second;
    const third = page.waitForRequest(renews);
    await page.clock.runFor(40_000);
    assert.equal(renewals, 2, 'once a minute is enough');
    await page.clock.runFor(25_000);
    await third;
    assert.match(await page.locator('#left').innerText(), /^1[78]:/);
    await page.click('#renew');
    await page.getByRole('alert').filter({ hasText: 'No.' }).waitFor();
    assert.match(await page.locator('#left').innerText(), /^1[78]:/);
    await page.clock.fastForward('20:00');
    await page.getByRole('status').filter({ hasText: 'Sign in again.' }).waitFor();
    await context.close();
  });

  await test('GraphiQL stores no headers, and nothing beyond the tab', async () => {
    const { page, context } = await open();
    await page.evaluate(() => localStorage.setItem('graphiql:queries', 'of an earlier version'));
    await page.reload();
    await page.waitForSelector('.graphiql-query-editor .CodeMirror');
    const secret = 'a-secret-that-is-nowhere-else';
    const set = async (tab, text) => {
      await page.getByRole('button', { name: tab, exact: true }).click();
      const editor = page.locator('.graphiql-editor-tool .CodeMirror').filter({ visible: true });
      await editor.evaluate((element, text) => element.CodeMirror.setValue(text), text);
    };
    await set('Headers', JSON.stringify({ authorization: `Bearer ${secret}-header` }));
    await set('Variables', JSON.stringify({ name: `${secret}-variable` }));
    await run(page, 'query Named($name: String!) { __type(name: $name) { name } }');
    // GraphiQL stores the text after a pause.
    await page.waitForTimeout(1_500);
    const stored = async (page) =>
      page.evaluate(() => [localStorage, sessionStorage].map((all) => JSON.stringify({ ...all })));
    const [beyond, within] = await stored(page);
    assert.ok(!beyond.includes('graphiql') && !beyond.includes(secret), beyond);
    assert.ok(!within.includes(`${secret}-header`), within);
    // The tab restores the editors.
    assert.ok(within.includes(`${secret}-variable`), within);
    const other = await context.newPage();
    await other.goto(url);
    await other.waitForSelector('.graphiql-query-editor .CodeMirror');
    await other.waitForTimeout(1_500);
    const everywhere = (await stored(other)).join();
    assert.ok(!everywhere.includes(secret), everywhere);
    await page.getByRole('button', { name: 'Open settings dialog' }).click();
    await page.getByText('Clear storage').waitFor();
    assert.equal(await page.getByText('Persist headers').count(), 0);
    await context.close();
  });

  if (shots) {
    for (const colorScheme of ['light', 'dark']) {
      const { page, context } = await open({ colorScheme });
      await page.waitForSelector('.graphiql-query-editor .CodeMirror');
      await page.fill('#username', 'zoë');
      await page.fill('#password', 'pässwörd ☠ 1');
      await page.click('#sign-in');
      await page.locator('#who').waitFor();
      await run(page, 'query Me {\n  me { id username role createdAt lastSignInAt }\n}\n');
      await page.screenshot({ path: `${shots}/explorer-${colorScheme}.png` });
      await context.close();
    }
  }
  console.log(`${passed.length} passed, 0 failed`);
} finally {
  await browser.close();
}
