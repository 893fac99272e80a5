// The page of a build without npm: the bar works, and the page names what is missing.
import assert from 'node:assert/strict';
import { launch } from './chromium.mjs';

const browser = await launch();
try {
  const page = await browser.newPage();
  const complaints = [];
  page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
  await page.goto(process.env.SYMBOLON_URL);
  await page.getByRole('heading', { name: 'GraphiQL is not in this build' }).waitFor();
  await page.click('#register');
  const form = page.locator('#registration');
  await form.getByLabel('Username').fill('ada');
  await form.getByLabel('Password').fill('correct horse');
  await form.getByRole('button', { name: 'Register' }).click();
  await page.locator('#who', { hasText: 'ada' }).waitFor();
  await page.selectOption('#theme', 'dark');
  await page.click('#menu-button');
  assert.equal(await page.locator('#copy-curl').count(), 0);
  await page.click('#show-sessions');
  await page.locator('#sessions li', { hasText: 'this one' }).waitFor();
  await page.keyboard.press('Escape');
  await page.click('#menu-button');
  await page.click('#sign-out');
  await page.getByRole('status').filter({ hasText: 'Signed out.' }).waitFor();
  assert.deepEqual(complaints, []);
  console.log('1 passed, 0 failed');
} finally {
  await browser.close();
}
