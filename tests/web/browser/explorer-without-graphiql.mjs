// The page of a build without npm: the sign-in bar works, and the page names what is missing.
import assert from 'node:assert/strict';
import { launch } from './chromium.mjs';

const browser = await launch();
try {
  const page = await browser.newPage();
  const complaints = [];
  page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
  await page.goto(process.env.SYMBOLON_URL);
  await page.getByRole('heading', { name: 'GraphiQL is not in this build' }).waitFor();
  await page.fill('#username', 'ada');
  await page.fill('#password', 'correct horse');
  await page.click('#register');
  await page.locator('#who', { hasText: 'ada' }).waitFor();
  await page.click('#sign-out');
  await page.getByRole('status').filter({ hasText: 'Signed out.' }).waitFor();
  assert.deepEqual(complaints, []);
  console.log('1 passed, 0 failed');
} finally {
  await browser.close();
}
