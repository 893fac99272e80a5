// GraphiQL: its operations are sent with the token of the session.
//
// GraphiQL 4 is the newest version that works under the content security policy. The editor of version 5 (5.4.0),
// Monaco, writes a style attribute into the HTML of each line and each cursor, which requires
// `style-src 'unsafe-inline'`: hashes do not apply to attributes. Without it, all lines are at the same place. Version
// 5 also has no file that works without a bundler, and is three times as large (2.1 MB with gzip).
import { ENDPOINT, send } from './api.js';
import { $ } from './forms.js';
import { check, current, examine, onChange } from './session.js';
import { tour } from './tour.js';

const { React, ReactDOM, GraphiQL } = window;

// Variables and headers contain passwords and tokens, and the history contains both. The page keeps them in memory until
// the session ends. Of the texts, only the queries are stored in the tab.
const PREFIX = 'graphiql:';
const TABS = `${PREFIX}tabState`;
const QUERY = `${PREFIX}query`;
const SECRET = ['variables', 'headers', 'queries', 'favorites'].map((name) => PREFIX + name);
const withoutVariables = (tabs) => JSON.stringify(JSON.parse(tabs), (key, value) => (key === 'variables' ? null : value));

/** The storage of GraphiQL, which ends with the tab. */
const storage = (() => {
  const memory = new Map();
  const attempt = (work, otherwise) => {
    try {
      return work(sessionStorage);
    } catch {
      return otherwise; // Storage is disabled or full.
    }
  };
  const names = () => attempt((all) => Object.keys(all).filter((name) => name.startsWith(PREFIX)), []);
  return {
    getItem: (name) => memory.get(name) ?? attempt((all) => all.getItem(name), null),
    setItem: (name, value) => {
      const text = name === TABS ? withoutVariables(value) : String(value);
      const isStored = !SECRET.includes(name) && attempt((all) => (all.setItem(name, text), true), false);
      if (isStored) memory.delete(name);
      else memory.set(name, text);
    },
    removeItem: (name) => {
      memory.delete(name);
      attempt((all) => all.removeItem(name));
    },
    get length() {
      return memory.size + names().length;
    },
    clear: () => {
      memory.clear();
      names().forEach((name) => attempt((all) => all.removeItem(name)));
    },
    forgetSecrets: () => SECRET.forEach((name) => memory.delete(name)),
  };
})();

const editor = (selector) => document.querySelector(`#graphiql ${selector} .CodeMirror`)?.CodeMirror;
const query = () => editor('.graphiql-query-editor');

/** The queries of all tabs, and the index of the active tab. */
let tabs;

const queries = () => {
  const all = [...tabs.queries];
  if (query()) all[tabs.active] = query().getValue();
  return all;
};

const tourFor = (role) => tour(role, $('registration') !== null);

/** Returns the queries that the tab has stored, or the tour. */
const restore = () => {
  try {
    const { tabs, activeTabIndex } = JSON.parse(storage.getItem(TABS));
    const queries = tabs.map(({ query }) => query ?? '');
    if (activeTabIndex in queries) return { queries, active: activeTabIndex };
  } catch {
    // There are no stored tabs, or they are invalid.
  }
  return { queries: tourFor(current()?.role), active: 0 };
};

/** Stores the tabs in the form in which GraphiQL restores them. GraphiQL activates the tab with the stored query. */
const store = () => {
  const empty = { variables: null, headers: null, operationName: null, response: null };
  const state = tabs.queries.map((query, index) => {
    const name = /^(?!#).*(?:query|subscription|mutation)\s+(\w+)/m.exec(query)?.[1];
    return { id: String(index), title: name ?? '<untitled>', query, ...empty };
  });
  storage.setItem(TABS, JSON.stringify({ tabs: state, activeTabIndex: tabs.active }));
  storage.setItem(QUERY, tabs.queries[tabs.active]);
};

/** The status, the duration and the size of the latest responses, by the text that GraphiQL displays for them. */
const summaries = new Map();
const MAX_SUMMARIES = 16;
const summarize = ({ status, duration, size }) => {
  const kilobytes = size < 999_950 ? `${(size / 1e3).toFixed(1)} KB` : `${(size / 1e6).toFixed(1)} MB`;
  return `${status} · ${Math.round(duration)} ms · ${size < 1000 ? `${size} B` : kilobytes}`;
};
const textOf = (answer) => JSON.stringify(answer, null, 2);
const remember = (answer, summary) => {
  const text = textOf(answer);
  summaries.delete(text);
  summaries.set(text, summary);
  if (summaries.size > MAX_SUMMARIES) summaries.delete(summaries.keys().next().value);
  return answer;
};

/** The editor that displays responses, and the line below it. */
let viewer;
let summary = '';
// The line follows the displayed text, because GraphiQL also sends queries for the schema, drops some responses, and
// displays the response of each tab again. Of several responses with the same text, the line shows the latest.
const showSummary = () => {
  const next = summaries.get(viewer.getValue()) ?? '';
  if (next === summary) return;
  summary = next;
  render();
};

/** Whether an answer is displayed that ended the session. The next sign-in removes it. */
let hasLastAnswer = false;

const fetcher = async (operation, { headers } = {}) => {
  // An Authorization header that the user writes in GraphiQL has precedence.
  const isOwn = Object.keys(headers ?? {}).some((name) => name.toLowerCase() === 'authorization');
  const token = isOwn ? undefined : current()?.token;
  let answer;
  let ownSummary = '';
  const observe = (facts) => (ownSummary = summarize(facts));
  try {
    answer = await send(operation, { ...(token && { authorization: `Bearer ${token}` }), ...headers }, observe);
  } catch ({ message }) {
    return remember({ errors: [{ message }] }, ownSummary);
  }
  // A mutation may have revoked the token, for example `changePassword`. The answer remains visible if the session ends.
  const isEnd = (token && examine(answer, token)) || (/\bmutation\b/.test(operation.query) && (await check()));
  remember(answer, ownSummary);
  if (isEnd) {
    replace(textOf(answer));
    hasLastAnswer = true;
  }
  return answer;
};

const root = ReactDOM.createRoot($('graphiql'));
let generation = 0;
let response;

const render = () =>
  root.render(
    React.createElement(
      GraphiQL,
      {
        // A new key replaces the component with all its state.
        key: generation,
        fetcher,
        storage,
        response,
        // With this property, GraphiQL has no theme setting of its own.
        forcedTheme: document.body.classList.contains('graphiql-dark') ? 'dark' : 'light',
        shouldPersistHeaders: false,
        // The text of a new tab.
        defaultQuery: '',
        defaultEditorToolsVisibility: false,
        onTabChange: ({ tabs: all, activeTabIndex }) => {
          tabs = { queries: all.map(({ query }) => query ?? ''), active: activeTabIndex };
        },
      },
      React.createElement(GraphiQL.Footer, null, React.createElement('p', { role: 'status' }, summary)),
    ),
  );

const replace = (answer) => {
  store();
  response = answer;
  generation += 1;
  render();
};

onChange((reason) => {
  const all = queries();
  const known = ['USER', 'ADMIN'].map(tourFor);
  const isTour = known.some((each) => JSON.stringify(each) === JSON.stringify(all));
  const wanted = isTour ? tourFor(current()?.role) : all;
  const isChanged = wanted.length !== all.length;
  tabs = { queries: wanted, active: isChanged ? Math.max(wanted.indexOf(all[tabs.active]), 0) : tabs.active };
  if (reason !== undefined || hasLastAnswer) {
    // Results, variables, headers and the history are private. The queries are not.
    hasLastAnswer = false;
    storage.forgetSecrets();
    summaries.clear();
    replace('');
  } else if (isChanged) {
    replace(viewer?.getValue());
  }
});

/** Returns a command for a POSIX shell that sends the current operation. */
export const curl = () => {
  const parse = (text) => (text?.trim() ? (JSON.parse(text) ?? {}) : {});
  const all = new Headers({ 'Content-Type': 'application/json', Authorization: `Bearer ${current().token}` });
  let variables;
  try {
    variables = parse(editor('.graphiql-editor-tool > :first-child')?.getValue());
    const headers = parse(editor('.graphiql-editor-tool > :last-child')?.getValue());
    for (const [name, value] of Object.entries(headers)) all.set(name, value);
  } catch {
    throw new Error('The variables or the headers are not valid.');
  }
  const body = { query: query().getValue() };
  if (Object.keys(variables).length > 0) body.variables = variables;
  if (query().operations?.length > 1) body.operationName = query().operationName;
  const quote = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  // curl omits a header without a value, unless its name ends with a semicolon.
  const options = [...all].map(([name, value]) => ` \\\n  -H ${quote(value ? `${name}: ${value}` : `${name};`)}`);
  const address = new URL(ENDPOINT, document.baseURI).href;
  return `curl ${quote(address)}${options.join('')} \\\n  -d ${quote(JSON.stringify(body))}\n`;
};

const EDITORS = [
  ['.graphiql-query-editor', 'Query'],
  ['.graphiql-editor-tool > :first-child', 'Variables'],
  ['.graphiql-editor-tool > :last-child', 'Headers'],
  ['.graphiql-response', 'Response'],
];

/** Corrects for assistive technologies what GraphiQL leaves without a name, and buttons that are in an ARIA tab. */
const repair = () => {
  for (const [selector, name] of EDITORS) editor(selector)?.getInputField().setAttribute('aria-label', name);
  for (const list of document.querySelectorAll('.graphiql-tabs[role]')) list.removeAttribute('role');
  for (const tab of document.querySelectorAll('.graphiql-tab[role]')) tab.removeAttribute('role');
  for (const tab of document.querySelectorAll('.graphiql-tab[aria-selected]')) {
    tab.firstElementChild.ariaCurrent = tab.ariaSelected;
    tab.removeAttribute('aria-selected');
  }
  for (const label of document.querySelectorAll('.graphiql-history-item-label')) label.removeAttribute('aria-label');
};

/** Follows the editor of the responses, which GraphiQL replaces together with all others. */
const follow = () => {
  const next = editor('.graphiql-response');
  if (!next || next === viewer) return;
  viewer = next;
  viewer.on('change', showSummary);
  showSummary();
};

new MutationObserver(() => {
  repair();
  follow();
}).observe($('graphiql'), {
  attributeFilter: ['aria-selected', 'role'],
  childList: true,
  subtree: true,
});

// Deletes the data of earlier versions.
try {
  const old = Object.keys(localStorage).filter((name) => name.startsWith(PREFIX));
  old.forEach((name) => localStorage.removeItem(name));
} catch {
  // Storage is disabled.
}
tabs = restore();
store();
render();
document.addEventListener('theme', render);
