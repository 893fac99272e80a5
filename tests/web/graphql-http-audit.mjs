// Runs the audits of graphql-http against the URL of an endpoint, one after the other. Every result other than ok is a
// failure, including the notices and warnings about recommendations of the specification.
import { serverAudits } from 'graphql-http';

const [url] = process.argv.slice(2);
if (!url) {
  console.error('usage: node graphql-http-audit.mjs URL');
  process.exit(2);
}

let passed = 0;
let failed = 0;
for (const audit of serverAudits({ url })) {
  let result;
  try {
    result = await audit.fn();
  } catch (error) {
    // An audit throws if it cannot evaluate the response.
    result = { status: 'fatal', reason: String(error) };
  }
  if (result.status === 'ok') {
    passed += 1;
  } else {
    failed += 1;
    console.log(`${result.status} ${audit.id} ${audit.name}: ${result.reason}`);
  }
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;
