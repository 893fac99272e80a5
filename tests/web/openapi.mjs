// Checks openapi.json: the document is valid, its examples match their schemas, each of the exchanges in the file that the
// argument names has a documented response and matches it, and each documented response is in an exchange.
import { readFileSync } from "node:fs";
import { Validator } from "@seriousme/openapi-schema-validator";
import Ajv from "ajv/dist/2020.js";
import addFormats from "ajv-formats";

const document = JSON.parse(readFileSync(new URL("../../openapi.json", import.meta.url), "utf8"));
const exchanges = JSON.parse(readFileSync(process.argv[2], "utf8"));
const problems = [];

const validity = await new Validator().validate(structuredClone(document));
if (!validity.valid) problems.push(`the document is invalid: ${JSON.stringify(validity.errors)}`);

// Keywords of OpenAPI, such as `example`, are not keywords of JSON Schema.
const ajv = new Ajv({ strict: false });
addFormats(ajv);
ajv.addSchema(document, "openapi", false, false);
const get = (pointer) =>
  pointer.split("/").slice(1).reduce((at, key) => at?.[key.replaceAll("~1", "/").replaceAll("~0", "~")], document);
/** Returns the pointer to an object of the document, after its references. */
const resolve = (pointer) => (get(pointer)?.$ref ? resolve(get(pointer).$ref.slice(1)) : pointer);
const join = (pointer, key) => resolve(`${pointer}/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`);
function check(what, pointer, value) {
  const validate = ajv.getSchema(`openapi#${encodeURI(pointer)}`);
  if (!validate(value)) problems.push(`${what}: ${ajv.errorsText(validate.errors)}: ${JSON.stringify(value)}`);
}

/** Checks the examples of a media type, a parameter or a header. */
function checkExamples(what, pointer) {
  const { example, examples = {} } = get(pointer);
  const values = [example, ...Object.values(examples).map(({ value }) => value)];
  for (const value of values.filter((value) => value !== undefined)) {
    check(`the example of ${what}`, join(pointer, "schema"), value);
  }
  return values.some((value) => value !== undefined);
}

function checkHeader(what, pointer, text) {
  const header = get(pointer);
  if (text === undefined) {
    if (header.required) problems.push(`${what} is missing`);
    return;
  }
  check(what, join(pointer, "schema"), header.schema.type === "integer" ? Number(text) : text);
}

function checkExchange(exchange, response) {
  const what = `${exchange.method} ${exchange.path} ${exchange.status}`;
  for (const name of Object.keys(get(response).headers ?? {})) {
    checkHeader(`${what} ${name}`, join(join(response, "headers"), name), exchange.headers[name.toLowerCase()]);
  }
  // These headers tell a client what to do next, so that each of them is documented.
  for (const name of ["WWW-Authenticate", "Retry-After", "Cache-Control", "X-Auth-User-Id", "X-Request-Id", "Accept-Encoding"]) {
    const isDocumented = get(response).headers?.[name] || exchange.status === 429;
    if (exchange.headers[name.toLowerCase()] && !isDocumented) problems.push(`${what}: ${name} is not documented`);
  }
  const mediaType = (exchange.headers["content-type"] ?? "").split(";")[0];
  const { content } = get(response);
  if (!content) {
    if (exchange.body) problems.push(`${what} has a body`);
  } else if (!content[mediaType]) {
    problems.push(`${what}: the media type ${mediaType} is not documented`);
  } else {
    const body = mediaType === "application/json" ? JSON.parse(exchange.body) : exchange.body;
    check(`${what} body`, join(join(join(response, "content"), mediaType), "schema"), body);
  }
}

const unused = new Set();
const methods = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];
for (const [path, operations] of Object.entries(document.paths)) {
  for (const method of methods.filter((method) => operations[method])) {
    const operation = join(join("/paths", path), method);
    for (const status of Object.keys(get(operation).responses)) {
      unused.add(`${method} ${path} ${status}`);
      const response = join(join(operation, "responses"), status);
      for (const mediaType of Object.keys(get(response).content ?? {})) {
        const isJson = mediaType === "application/json";
        const content = join(join(response, "content"), mediaType);
        const hasExample = checkExamples(`${method} ${path} ${status}`, content);
        if (isJson && !hasExample) problems.push(`${method} ${path} ${status} has no example`);
      }
    }
    for (const number of Object.keys(get(operation).parameters ?? [])) {
      checkExamples(`${method} ${path}`, join(join(operation, "parameters"), number));
    }
    if (get(operation).requestBody) {
      checkExamples(`${method} ${path}`, `${operation}/requestBody/content/application~1json`);
    }
  }
}
for (const name of Object.keys(document.components.headers)) checkExamples(name, `/components/headers/${name}`);

for (const exchange of exchanges) {
  const { method, path, status } = exchange;
  unused.delete(`${method} ${path} ${status}`);
  const response = join(join(join(join("/paths", path), method), "responses"), String(status));
  if (get(response)) checkExchange(exchange, response);
  else problems.push(`${method} ${path} ${status} is not documented`);
}
for (const response of unused) problems.push(`${response} is documented, but not in the test`);

for (const problem of problems) console.error(problem);
process.exitCode = problems.length > 0 ? 1 : 0;
