// The pages /reset and /invite in a real browser. The responses of the API are those of `answers`, except in the last
// tests, which use links that the server accepts.
//   SYMBOLON_URL=http://127.0.0.1:8000 RESET_LINK=… INVITE_LINK=… EXPIRED_LINK=… node pages.mjs [FOLDER FOR SCREENSHOTS]
import assert from 'node:assert/strict';
import { launch } from './chromium.mjs';

const { SYMBOLON_URL: url, RESET_LINK, INVITE_LINK, EXPIRED_LINK } = process.env;
const shots = process.argv[2];
const browser = await launch();

const TOKEN = `symo_${'Az09'.repeat(8)}`;
const PASSWORD = 'pässwörd ☠ 1';
const RESET = `${url}/reset#token=${TOKEN}&username=ada`;

const doneFor = (username) => ({ data: { resetPassword: { user: { username }, userErrors: [] } } });
const done = doneFor('ada');
const refused = (field, ...messages) => ({
  data: { resetPassword: { user: null, userErrors: messages.map((message) => ({ field, message })) } },
});
const fail = (code, message) => ({ errors: [{ message, extensions: { code, retryAfter: 30 } }] });

/**
 * Opens a page. `close` fails the test if the page requested another origin, wrote an error to the console or violated
 * its content security policy, or if `secret` occurs anywhere but in the body of a request to the API.
 */
const open = async (address, { secret = TOKEN, mayFail = false, prefix = '', answers, ...options } = {}) => {
  const context = await browser.newContext({ viewport: { width: 1440, height: 800 }, ...options });
  const page = await context.newPage();
  const [requests, complaints] = [[], []];
  context.on('request', (request) => requests.push(request));
  context.on('console', (message) => {
    const isFailedRequest = mayFail && message.text().startsWith('Failed to load resource');
    if (message.type() === 'error' && !isFailedRequest) complaints.push(message.text());
  });
  context.on('weberror', (error) => complaints.push(String(error.error())));
  if (options.javaScriptEnabled !== false) {
    await context.addInitScript(() => {
      const report = (event) => console.error(`violates ${event.violatedDirective}: ${event.blockedURI}`);
      document.addEventListener('securitypolicyviolation', report);
    });
  }
  // A reverse proxy that removes a prefix from the path.
  if (prefix) {
    await context.route(`${url}${prefix}/**`, async (route) => {
      const response = await route.fetch({ url: route.request().url().replace(prefix, '') });
      return route.fulfill({ response });
    });
  }
  const isReset = (request) => request.postData()?.includes('resetPassword') ?? false;
  const sent = () => requests.filter(isReset);
  if (answers) {
    await context.route('**/graphql', (route) => {
      // The explorer also sends requests.
      if (!isReset(route.request())) return route.fallback();
      const answer = answers.shift() ?? assert.fail('an unexpected request to the API');
      if (answer === 'offline') return route.abort('internetdisconnected');
      if (answer === 'bad gateway') return route.fulfill({ status: 502, body: '<h1>Bad Gateway</h1>' });
      return route.fulfill({ status: answer.status ?? 200, json: answer });
    });
  }
  await page.goto(address);
  const close = async () => {
    assert.deepEqual(complaints, []);
    for (const request of requests) {
      const { protocol, origin, href } = new URL(request.url());
      if (protocol !== 'data:') assert.equal(origin, new URL(url).origin, href);
      const headers = JSON.stringify(await request.allHeaders());
      assert.ok(!href.includes(secret) && !headers.includes(secret), `${href} ${headers}`);
      const isToApi = request.method() === 'POST' && href === `${url}${prefix}/graphql`;
      assert.ok(isToApi || !request.postData()?.includes(secret), href);
    }
    if (answers) assert.deepEqual(answers, []);
    await context.close();
  };
  const heading = (name) => page.getByRole('heading', { name, level: 1, exact: true }).waitFor();
  return { context, page, requests, sent, close, heading };
};

/** Types a password and submits the form with the keyboard. */
const submit = async (page, password) => {
  await page.getByLabel('New password').fill(password);
  await page.keyboard.press('Enter');
};

const focusedId = (page) => page.evaluate(() => document.activeElement.id);

/** Everything that the browser stores for the page. */
const stored = (page) =>
  page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, history.state]));

const passed = [];
const test = async (name, work) => {
  await work();
  passed.push(name);
  console.log(`ok ${name}`);
};

try {
  await test('the token leaves the address bar, and no request is sent before the submission', async () => {
    const { page, requests, sent, close } = await open(RESET, { answers: [doneFor('eve')] });
    await page.getByLabel('New password').waitFor();
    assert.equal(page.url(), `${url}/reset`);
    assert.equal(await page.evaluate(() => history.length), 2, 'about:blank and the page');
    const paths = requests.map((request) => request.url().replace(url, ''));
    assert.deepEqual(paths.slice(0, 3).sort(), ['/pages/password.css', '/pages/password.js', '/reset']);
    assert.equal(sent().length, 0);
    assert.ok(!(await stored(page)).includes(TOKEN));
    await submit(page, PASSWORD);
    await page.locator('#done').waitFor();
    // The name is that of the server, because anybody can write a link.
    assert.match(await page.locator('#done').innerText(), /sign in as eve /);
    const { query, variables } = sent()[0].postDataJSON();
    assert.match(query, /resetPassword/);
    assert.deepEqual(variables, { token: TOKEN, newPassword: PASSWORD });
    assert.ok(!(await sent()[0].allHeaders()).authorization);
    assert.equal(await page.locator('#form').count(), 0);
    assert.ok(!(await stored(page)).match(/symo_|pässwörd/));
    await close();
  });

  await test('the keyboard suffices, and each error is beside its field and has the focus', async () => {
    const short = 'The password must have at least 8 characters.';
    const { page, close, heading } = await open(RESET, { answers: [refused('newPassword', short, 'Twice.'), done] });
    assert.equal(await focusedId(page), 'password');
    const field = page.getByLabel('New password');
    assert.deepEqual(
      await page.locator('#username').evaluate((input) => [input.value, input.readOnly, input.autocomplete]),
      ['ada', true, 'username'],
    );
    assert.equal(await field.getAttribute('autocomplete'), 'new-password');
    const described = async () => [
      await field.evaluate((input) => document.getElementById(input.getAttribute('aria-describedby')).innerText),
      await field.getAttribute('aria-invalid'),
      await focusedId(page),
    ];

    await page.keyboard.press('Enter');
    assert.deepEqual(await described(), ['Enter a password.', 'true', 'password']);
    await page.keyboard.type('short');
    await page.keyboard.press('Tab');
    assert.equal(await focusedId(page), 'visible');
    await page.keyboard.press('Space');
    assert.equal(await field.getAttribute('type'), 'text');
    await page.keyboard.press('Tab');
    assert.equal(await focusedId(page), 'submit');
    const outline = await page.locator('#submit').evaluate((button) => getComputedStyle(button).outlineStyle);
    assert.equal(outline, 'solid');
    await page.keyboard.press('Enter');
    await page.locator('[aria-invalid=true]').waitFor();
    assert.deepEqual(await described(), [`${short} Twice.`, 'true', 'password']);
    assert.equal(await field.getAttribute('type'), 'password', 'the password is hidden again');
    assert.equal(await field.inputValue(), 'short');
    await page.keyboard.type(' and longer');
    await page.keyboard.press('Enter');
    await heading('Your password is set');
    assert.equal(await page.title(), 'Your password is set');
    assert.equal(await page.evaluate(() => document.activeElement.tagName), 'H1');
    assert.match(await page.locator('main').innerText(), /sign in as ada .* signed out/);
    await page.keyboard.press('Tab');
    assert.equal(await page.evaluate(() => document.activeElement.href), `${url}/`);
    await close();
  });

  await test('a double click sends one request', async () => {
    const { page, sent, close } = await open(RESET);
    let answer;
    await page.route('**/graphql', (route) => (answer = () => route.fulfill({ json: done })));
    await page.getByLabel('New password').fill(PASSWORD);
    await page.locator('#submit').dblclick();
    await page.locator('#submit[aria-disabled=true]').waitFor();
    assert.equal(await page.locator('#submit').innerText(), 'Please wait …');
    await page.getByLabel('New password').press('Enter');
    assert.equal(sent().length, 1);
    await answer();
    await page.locator('#done').waitFor();
    assert.equal(sent().length, 1);
    await close();
  });

  await test('a failed request keeps the input, and the form can be submitted again', async () => {
    const wait = 'Too many attempts. Try again in 30 s.';
    const cases = [
      ['offline', /did not answer/],
      ['bad gateway', /did not answer/],
      [{}, /did not answer/],
      [fail('RATE_LIMITED', wait), wait],
      [{ status: 503, ...fail('SERVICE_UNAVAILABLE', 'The service is unavailable.') }, 'The service is unavailable.'],
      [{ status: 413, code: 'PAYLOAD_TOO_LARGE', message: 'Too large.' }, 'Too large.'],
    ];
    const answers = [...cases.map(([answer]) => answer), done];
    const { page, close } = await open(RESET, { answers, mayFail: true });
    const field = page.getByLabel('New password');
    await field.fill(PASSWORD);
    for (const [, message] of cases) {
      await page.locator('#submit').click();
      await page.locator('#error').filter({ hasText: message }).waitFor();
      assert.equal(await focusedId(page), 'error');
      assert.equal(await field.inputValue(), PASSWORD);
      assert.equal(await field.getAttribute('aria-invalid'), 'false');
    }
    await page.locator('#submit').click();
    await page.locator('#done').waitFor();
    await close();
  });

  await test('a link that does not work is explained, also after a reload', async () => {
    const { page, close, heading } = await open(RESET, { answers: [refused('token', '<b>Used.</b>')] });
    await submit(page, PASSWORD);
    await heading('This link does not work');
    await page.getByText('<b>Used.</b>', { exact: true }).waitFor();
    assert.equal(await page.locator('input').count(), 0);
    await page.reload();
    await heading('This link does not work');
    await page.getByText('The link has expired, was already used, or').waitFor();
    await close();
  });

  await test('a reload and the back button ask for the link again', async () => {
    const { page, close, heading } = await open(RESET, { answers: [done] });
    await page.getByLabel('New password').fill(PASSWORD);
    await page.getByLabel('Show password').check();
    await page.reload();
    await heading('Open the link again');
    assert.equal(await page.locator('input').count(), 0);
    // The browser loads the page again only if another part of the address differs.
    await page.goto(`${url}/invite`);
    await heading('This link is incomplete');
    await page.goBack();
    await heading('Open the link again');
    await page.evaluate((hash) => (location.hash = hash), `token=${TOKEN}&username=ada`);
    await page.getByLabel('New password').waitFor();
    assert.equal(page.url(), `${url}/reset`);
    await submit(page, PASSWORD);
    await heading('Your password is set');
    await page.reload();
    await heading('Your password is set');
    assert.equal(await page.locator('#as').isVisible(), false);
    assert.match(await page.locator('main').innerText(), /You can now sign in with/);
    await page.getByRole('link', { name: 'Sign in' }).click();
    await page.waitForURL(`${url}/`);
    await page.goBack();
    await heading('Your password is set');
    await close();
  });

  await test('no fragment breaks the page or becomes HTML', async () => {
    const html = '<img src=x onerror=alert(1)><script>alert(2)</script>';
    const incomplete = [
      '', '#', '#token', '#token=', '#username=ada', `#token=${html}`, `#token=${encodeURIComponent(html)}`,
      `#token=${'a'.repeat(100_000)}`, '#token=%', '#token=%00', '#token=%ff%fe%zz', '#token=symo_a%2F..%2F', `#${TOKEN}`,
      `#__proto__=${TOKEN}`, '#token=javascript:alert(3)', '#%E0%A4%A', '#token=symo_☠', '#&&&===&=',
    ];
    for (const fragment of incomplete) {
      const { page, close, heading, sent } = await open(`${url}/invite${fragment}`, { answers: [] });
      await heading('This link is incomplete');
      assert.equal(page.url(), `${url}/invite`);
      assert.equal(sent().length, 0);
      assert.equal(await page.locator('form').count(), 0);
      await close();
    }
    const names = [html, '"><h1>x</h1>', '\u202Eada', 'n'.repeat(100_000), '%', 'a\nb', '{{ 7 * 7 }}', '名前'.repeat(99)];
    let normal;
    for (const name of ['ada', ...names]) {
      const address = `${url}/reset#token=${TOKEN}&username=${encodeURIComponent(name)}`;
      const { page, close } = await open(address, { answers: [doneFor(name)], viewport: { width: 320, height: 600 } });
      const [elements, width] = await page.evaluate(() => [
        document.querySelectorAll('main *').length,
        document.documentElement.scrollWidth,
      ]);
      normal ??= elements;
      assert.equal(elements, normal, name);
      assert.ok(width <= 320, `${width} pixels with ${name.slice(0, 20)}`);
      assert.equal(await page.locator('#username').inputValue(), name.replace('\n', ''));
      await submit(page, PASSWORD);
      await page.locator('#done').waitFor();
      assert.equal(await page.locator('#who').evaluate((who) => who.textContent), name);
      assert.equal(await page.locator('img, script:not([src])').count(), 0);
      assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= 320, name.slice(0, 20));
      await close();
    }
    const { page, close } = await open(`${url}/reset#token=${TOKEN}`, { answers: [] });
    assert.equal(await page.locator('#username').isVisible(), false, 'a link without a username');
    await close();
  });

  await test('all URLs are relative, so that the server can be below a prefix', async () => {
    const prefix = '/id/v1';
    const { page, sent, close, heading } = await open(RESET.replace(url, url + prefix), { prefix, answers: [done] });
    await submit(page, PASSWORD);
    await heading('Your password is set');
    assert.equal(sent()[0].url(), `${url}${prefix}/graphql`);
    await page.getByRole('link', { name: 'Sign in' }).click();
    await page.waitForURL(`${url}${prefix}/`);
    await page.fill('#username', 'ada');
    await page.fill('#password', 'a wrong password');
    await page.click('#sign-in');
    await page.getByRole('alert').filter({ hasText: 'The username or password is wrong.' }).waitFor();
    await page.waitForSelector('.graphiql-query-editor .CodeMirror');
    await close();
  });

  await test('without JavaScript, the page says that it is required', async () => {
    const { page, close, sent } = await open(RESET, { javaScriptEnabled: false, answers: [] });
    await page.locator('noscript p').waitFor();
    assert.match(await page.locator('main').innerText(), /requires JavaScript/);
    assert.equal(await page.locator('form').isVisible(), false);
    assert.equal(sent().length, 0);
    await close();
  });

  await test('another page cannot show the page in a frame', async () => {
    const context = await browser.newContext();
    const page = await context.newPage();
    const frames = [`${url}/healthz`, RESET].map((address) => `<iframe src="${address}"></iframe>`);
    await page.route(`${url}/frames`, (route) => route.fulfill({ contentType: 'text/html', body: frames.join('') }));
    await page.goto(`${url}/frames`);
    const [, health, reset] = page.frames();
    assert.equal(health.url(), `${url}/healthz`);
    assert.equal(reset.url(), 'chrome-error://chromewebdata/');
    await context.close();
  });

  /** The contrast ratios (WCAG 2.2, section 1.4.3) of the visible texts, and of the borders of the fields. */
  const contrasts = (page) =>
    page.evaluate(() => {
      const parse = (color) => color.match(/[\d.]+/g).map(Number);
      const luminance = (color) => {
        const [red, green, blue] = parse(color).map((value) => {
          const part = value / 255;
          return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
      };
      const ratio = (one, other) => {
        const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
        return (high + 0.05) / (low + 0.05);
      };
      const ground = (element) => {
        const color = getComputedStyle(element).backgroundColor;
        return parse(color)[3] === 0 ? ground(element.parentElement) : color;
      };
      const seen = [...document.querySelectorAll('h1, p, label, input, button, a')].filter((one) => one.offsetParent);
      const texts = seen.map((one) => [one.outerHTML, 4.5, ratio(getComputedStyle(one).color, ground(one))]);
      const field = document.querySelector('#password');
      if (field) texts.push(['border', 3, ratio(getComputedStyle(field).borderTopColor, ground(field.parentElement))]);
      return texts;
    });

  await test('every state fits on every screen, in light and dark mode', async () => {
    const message = 'The password must have at least 8 characters.';
    for (const colorScheme of ['light', 'dark']) {
      for (const width of [1440, 768, 390, 320]) {
        const answers = [refused('newPassword', message), 'offline', done, refused('token', 'This link has expired.')];
        const options = { colorScheme, viewport: { width, height: 760 }, answers, mayFail: true };
        const { page, close } = await open(RESET, options);
        const check = async (state) => {
          const wide = await page.evaluate(() => document.documentElement.scrollWidth);
          assert.ok(wide <= width, `${state} is ${wide} pixels wide on ${width}`);
          for (const [text, least, contrast] of await contrasts(page)) {
            assert.ok(contrast >= least, `${colorScheme} ${state} ${contrast}: ${text}`);
          }
          if (shots) await page.screenshot({ path: `${shots}/page-${state}-${colorScheme}-${width}.png` });
        };
        await check('form');
        const sizes = await page.locator('input:not([type=checkbox]), button').evaluateAll((all) =>
          all.map((one) => parseFloat(getComputedStyle(one).fontSize)),
        );
        assert.ok(sizes.every((size) => size >= 16), `${sizes}`);
        await submit(page, 'short');
        await page.locator('[aria-invalid=true]').waitFor();
        await check('error');
        await submit(page, PASSWORD);
        await page.locator('#error:not(:empty)').waitFor();
        await check('offline');
        await submit(page, PASSWORD);
        await page.locator('#done').waitFor();
        await check('done');
        await page.goto(`${url}/invite#token=${TOKEN}`);
        await page.getByLabel('Password', { exact: true }).fill(PASSWORD);
        await page.keyboard.press('Enter');
        await page.locator('#refused').waitFor();
        await check('refused');
        await page.goto(`${url}/reset`);
        await check('incomplete');
        await close();
      }
    }
  });

  const tokenOf = (link) => new URLSearchParams(new URL(link).hash.slice(1)).get('token');

  /** Signs in in the explorer, to which the page links. */
  const signIn = async (page, username, password) => {
    await page.getByRole('link', { name: 'Sign in' }).click();
    await page.waitForURL(`${url}/`);
    await page.fill('#username', username);
    await page.fill('#password', password);
    await page.click('#sign-in');
    await page.locator('#who', { hasText: username }).waitFor();
  };

  const me = async (token) => {
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${token}` };
    const response = await fetch(`${url}/graphql`, { method: 'POST', headers, body: '{"query":"{ me { username } }"}' });
    return response.json();
  };

  await test('a reset link leads to a new password and to a new session', async () => {
    const { page, close, heading } = await open(RESET_LINK, { secret: tokenOf(RESET_LINK) });
    const credentials = Buffer.from('zoë:correct horse battery staple').toString('base64');
    const response = await fetch(`${url}/tokens`, { method: 'POST', headers: { authorization: `Basic ${credentials}` } });
    const { token } = await response.json();
    assert.equal((await me(token)).data.me.username, 'zoë');
    assert.equal(await page.locator('#username').inputValue(), 'zoë');
    await submit(page, 'short');
    await page.locator('#password-error', { hasText: 'at least 8 characters' }).waitFor();
    await submit(page, 'password1');
    await page.locator('#password-error', { hasText: 'common' }).waitFor();
    await submit(page, PASSWORD);
    await heading('Your password is set');
    assert.equal((await me(token)).errors[0].extensions.reason, 'TOKEN_EXPIRED');
    await signIn(page, 'zoë', PASSWORD);
    await close();
  });

  await test('an invitation leads to a password and to a session', async () => {
    const { page, close, heading } = await open(INVITE_LINK, { secret: tokenOf(INVITE_LINK) });
    await page.getByLabel('Password', { exact: true }).fill(PASSWORD);
    await page.getByRole('button', { name: 'Set up account' }).click();
    await heading('Your account is ready');
    await signIn(page, 'grace', PASSWORD);
    await close();
  });

  await test('a used link, an expired link and an unknown token are told apart', async () => {
    const unknown = RESET_LINK.replace(tokenOf(RESET_LINK), TOKEN);
    for (const [link, reason] of [[RESET_LINK, 'already been used'], [EXPIRED_LINK, 'has expired'], [unknown, 'not valid']]) {
      const { page, close, heading } = await open(link, { secret: tokenOf(link) });
      await submit(page, 'another pässwörd');
      await heading('This link does not work');
      await page.locator('#reason', { hasText: reason }).waitFor();
      await close();
    }
  });
  console.log(`${passed.length} passed, 0 failed`);
} finally {
  await browser.close();
}
