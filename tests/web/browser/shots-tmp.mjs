import { launch } from './chromium.mjs';
const url = process.env.SYMBOLON_URL, out = process.argv[2];
const b = await launch();
const T = 'symo_' + 'a'.repeat(32);
for (const scheme of ['light','dark']) for (const w of [1440,768,390,320]) {
  const c = await b.newContext({ viewport: { width: w, height: w<768?740:800 }, colorScheme: scheme });
  const page = await c.newPage();
  page.on('console', m => console.log(scheme,w,m.type(),m.text()));
  page.on('pageerror', e => console.log(String(e)));
  let answer;
  await page.route('**/graphql', r => answer === undefined ? r.abort() : r.fulfill({ json: answer }));
  const shot = async (n) => { await page.screenshot({ path: `${out}/${n}-${scheme}-${w}.png` });
    const sw = await page.evaluate(() => document.documentElement.scrollWidth); if (sw > w) console.log('WIDE', n, w, sw); };
  await page.goto(`${url}/reset#token=${T}&username=ada`); await shot('reset');
  await page.fill('#password','short'); answer = { data: { resetPassword: { user: null, userErrors: [{field:'newPassword', message:'The password must have at least 8 characters.'}]}}};
  await page.keyboard.press('Enter'); await page.waitForSelector('[aria-invalid=true]'); await page.check('#visible'); await shot('error');
  answer = undefined; await page.click('#submit'); await page.waitForSelector('#error:not(:empty)'); await shot('network');
  answer = { data: { resetPassword: { user: {username:'ada'}, userErrors: []}}}; await page.click('#submit'); await page.waitForSelector('#done'); await page.locator('#done').waitFor(); await shot('done');
  await page.goto(`${url}/invite`); await shot('incomplete');
  await page.goto(`${url}/invite#token=${T}&username=${'averyverylongname'.repeat(8)}`); await shot('invite');
  await c.close();
}
await b.close();
