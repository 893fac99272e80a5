// Small parts of the user interface.

export const $ = (id) => document.getElementById(id);

/** Returns a new element with properties and children. */
export const element = (name, properties = {}, ...children) => {
  const created = Object.assign(document.createElement(name), properties);
  created.append(...children);
  return created;
};

/** Does the work of a button or a form unless it is under way. The focus stays at the button. */
export const once = async (owner, work) => {
  const button = owner.querySelector('.primary') ?? owner;
  if (button.getAttribute('aria-disabled') === 'true') return;
  button.setAttribute('aria-disabled', 'true');
  try {
    await work();
  } finally {
    button.removeAttribute('aria-disabled');
  }
};

/** Copies text, also on a page without TLS, on which the Clipboard API does not exist. */
export const copy = async (text) => {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const from = document.activeElement;
  const area = element('textarea', { value: text, className: 'unseen' });
  // Elements outside of an open dialog cannot have the focus.
  (from.closest('dialog') ?? document.body).append(area);
  area.select();
  const isCopied = document.execCommand('copy');
  area.remove();
  from.focus();
  if (!isCopied) throw new Error('The browser does not permit copying.');
};

/** Shows messages next to the fields of a form, and all others in its last paragraph. Moves the focus to the first. */
export const showErrors = (form, errors) => {
  form.querySelectorAll('.field-error').forEach((each) => each.remove());
  form.querySelectorAll('[aria-invalid]').forEach((field) => {
    field.removeAttribute('aria-invalid');
    field.removeAttribute('aria-describedby');
  });
  const others = [];
  const invalid = [];
  for (const { field, message } of errors) {
    const input = field && form.elements[field];
    if (!input) {
      others.push(message);
      continue;
    }
    const id = `${form.parentElement.id}-${field}-error`;
    if (input.ariaInvalid) {
      $(id).append(` ${message}`);
      continue;
    }
    input.setAttribute('aria-invalid', 'true');
    input.setAttribute('aria-describedby', id);
    input.closest('label').after(element('p', { id, className: 'error field-error', textContent: message }));
    invalid.push(input);
  }
  [...form.querySelectorAll('.error[role]')].at(-1).textContent = others.join(' ');
  const first = [...form.elements].find((input) => invalid.includes(input));
  first?.focus();
};

/**
 * Makes a form call `submit` with its values, and shows the errors that `submit` throws or returns. The values of
 * password fields are removed when the dialog closes.
 */
export const handle = (form, submit) => {
  const dialog = form.closest('dialog');
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const empty = [...form.elements].filter((input) => input.required && input.value.trim() === '');
    if (empty.length > 0) {
      return showErrors(form, empty.map(({ name }) => ({ field: name, message: 'Fill in this field.' })));
    }
    // The dialog can have been closed, and opened again, in the meantime.
    let isClosed = false;
    dialog.addEventListener('close', () => (isClosed = true), { once: true });
    const show = (errors) => isClosed || showErrors(form, errors);
    once(form, async () => {
      try {
        show((await submit(Object.fromEntries(new FormData(form)))) ?? []);
      } catch ({ message }) {
        show([{ message }]);
      }
    });
  });
  dialog.addEventListener('close', () => {
    showErrors(form, []);
    form.reset();
  });
};

const UNITS = [
  ['year', 31_536_000],
  ['month', 2_592_000],
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
];
const relative = new Intl.RelativeTimeFormat('en', { numeric: 'auto' });

/** Returns an element that shows a time relative to now. */
export const timeOf = (iso) => {
  const seconds = (new Date(iso) - Date.now()) / 1000;
  const [unit, size] = UNITS.find(([, size]) => Math.abs(seconds) >= size) ?? ['minute', 60];
  const words = Math.abs(seconds) < 60 ? 'just now' : relative.format(Math.round(seconds / size), unit);
  return element('time', { dateTime: iso, title: new Date(iso).toLocaleString(), textContent: words });
};

/** Returns the time until a session expires, for example `59:08`. */
export const countdown = (milliseconds) => {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  const two = (number) => String(number).padStart(2, '0');
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor((seconds % 3600) / 60)];
  if (hours >= 48) return `${Math.floor(hours / 24)} days`;
  return (hours > 0 ? `${hours}:${two(minutes)}` : `${minutes}`) + `:${two(seconds % 60)}`;
};
