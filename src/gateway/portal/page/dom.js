// Elements and words for the page. Text is only ever set as text: what functions print is never markup.

/**
 * The element of this id in index.html.
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} id
 * @returns {T}
 */
export function byId(id) {
  const found = document.getElementById(id)
  if (found === null) throw new Error(`index.html has no #${id}`)
  return /** @type {T} */ (found)
}

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, string>} [attributes]
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value)
  element.append(...children)
  return element
}

/**
 * Only where it differs: most of what is polled does not.
 * @param {Element} element
 * @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text
}

/** For screen readers, what the eye sees by itself. @param {string} text */
export function say(text) {
  byId('said').textContent = text
}

/** What went wrong, until it is dismissed. @param {unknown} error */
export function complain(error) {
  byId('notice-text').textContent = messageOf(error)
  byId('notice').hidden = false
}

export function endComplaint() {
  byId('notice').hidden = true
}

/** @param {unknown} error */
export function messageOf(error) {
  return error instanceof Error ? error.message : String(error)
}

/** A block of commands with a button that copies it. @param {HTMLElement} pre @param {string} text */
export function showCommand(pre, text) {
  pre.textContent = text
  if (pre.nextElementSibling === null) pre.after(copyButton(() => pre.textContent ?? ''))
}

/** @param {() => string} text */
function copyButton(text) {
  const button = make('button', { type: 'button' }, 'Copy')
  button.addEventListener('click', () => void copy(button, text()))
  return button
}

/** @param {HTMLElement} button @param {string} text */
export async function copy(button, text) {
  const before = button.textContent
  try {
    await navigator.clipboard.writeText(text)
    button.textContent = 'Copied'
  } catch {
    // Browsers give the clipboard to secure origins only.
    button.textContent = 'Not allowed'
  }
  setTimeout(() => (button.textContent = before), 1500)
}
