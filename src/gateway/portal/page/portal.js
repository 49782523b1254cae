// The page: which namespace and which function are open, kept in the address; the list, asked for while somebody looks; keys.

import { DeployDialog, RemoveDialog } from './deploy.js'
import { Detail, TABS } from './detail.js'
import { byId, complain, endComplaint, messageOf, setText, showCommand } from './dom.js'
import { FunctionList } from './function-list.js'
import { BASE, listFunctions, listNamespaces } from './gateway.js'

/** @typedef {import('./gateway.js').FunctionStatus} FunctionStatus */

const POLL_MS = 2000
const NARROW = matchMedia('(width <= 860px)')

const filter = /** @type {HTMLInputElement} */ (byId('filter'))
const namespaces = /** @type {HTMLSelectElement} */ (byId('namespace'))
const list = new FunctionList((shown) => go(shown.name, TABS[0]))
const detail = new Detail({ onTab: (tab) => go(detail.shown?.name, tab, true), refresh })
const deployDialog = new DeployDialog(({ name, namespace }) => {
  namespaces.value = namespace
  go(name, TABS[0])
  refresh()
})
const removeDialog = new RemoveDialog(() => {
  closeDetail()
  refresh()
})

/** @type {FunctionStatus[]} */
let functions = []
let shownText = ''
/** @type {AbortController | undefined} */
let asking
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer

/** `#/namespace/function/tab` */
function place() {
  const [, namespace = '', name = '', tab = ''] = location.hash.split('/').map(decoded)
  return { namespace, name, tab: TABS.includes(tab) ? tab : 'invoke' }
}

/** @param {string} text */
function decoded(text) {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** @param {string | undefined} name @param {string} [tab] @param {boolean} [replace] no step back to where we were */
function go(name, tab, replace = false) {
  const parts = [namespaces.value, name, name === undefined ? undefined : tab].filter((part) => part !== undefined)
  const hash = `#/${parts.map(encodeURIComponent).join('/')}`
  if (hash !== location.hash) history[replace ? 'replaceState' : 'pushState'](null, '', hash)
  arrive()
}

/** Shows what the address says. */
function arrive() {
  const { namespace, name, tab } = place()
  if (namespace !== '' && namespace !== namespaces.value && isKnown(namespace)) {
    namespaces.value = namespace
    list.forget()
    refresh()
    return
  }
  const shown = functions.find((one) => one.name === name && one.namespace === namespaces.value)
  document.title = shown === undefined ? 'Functions' : `${shown.name} · Functions`
  list.markOpened(shown?.name)
  if (shown !== undefined) detail.open(shown, tab)
  else if (detail.shown !== undefined) detail.close()
}

/** @param {string} namespace */
function isKnown(namespace) {
  return [...namespaces.options].some(({ value }) => value === namespace)
}

function closeDetail() {
  if (detail.shown === undefined) return
  go(undefined)
  list.focus()
}

/** Asks now, and then again and again while the page is looked at. */
function refresh() {
  clearTimeout(timer)
  asking?.abort()
  const mine = new AbortController()
  asking = mine
  const startedAt = performance.now()
  void poll(mine.signal).finally(() => {
    // A slow gateway is asked less often.
    const pause = Math.max(POLL_MS, 5 * (performance.now() - startedAt))
    if (asking === mine && !document.hidden) timer = setTimeout(refresh, pause)
  })
}

/** @param {AbortSignal} signal */
async function poll(signal) {
  try {
    await updateNamespaces()
    const text = await listFunctions(namespaces.value, signal)
    if (text !== shownText || functions.length === 0) functions = JSON.parse(text) ?? []
    shownText = text
    show()
    health('live', 'Live')
  } catch (error) {
    if (!signal.aborted) health('lost', error instanceof TypeError ? 'The gateway does not answer' : messageOf(error))
  }
}

function show() {
  byId('empty').hidden = functions.length > 0
  byId('rows').hidden = functions.length === 0
  list.update(functions)
  const { name, namespace } = detail.shown ?? {}
  const shown = functions.find((one) => one.name === name && one.namespace === namespace)
  if (shown === undefined) arrive()
  else detail.update(shown)
}

async function updateNamespaces() {
  // Old gateways have no such route; then there is one namespace without a name.
  const names = await listNamespaces().catch((error) => {
    if (error?.status !== 404) throw error
    return ['']
  })
  if ([...namespaces.options].map(({ value }) => value).join() === names.join() && names.length > 0) return
  const before = namespaces.value || place().namespace
  namespaces.replaceChildren(...names.map((name) => new Option(name, name)))
  if (names.includes(before)) namespaces.value = before
}

/** @param {string} state @param {string} words */
function health(state, words) {
  byId('health').dataset['state'] = state
  setText(byId('health'), words)
}

/** @param {FunctionStatus} [before] */
function openDeploy(before) {
  deployDialog.open({
    namespace: namespaces.value,
    namespaces: [...namespaces.options].map(({ value }) => value),
    before,
  })
}

/** @param {KeyboardEvent} event */
function key(event) {
  const target = /** @type {HTMLElement} */ (event.target)
  if (document.querySelector('dialog[open]') !== null) return
  if (event.key === '/' && !/^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName)) {
    event.preventDefault()
    if (NARROW.matches) closeDetail()
    filter.focus()
    filter.select()
  }
  if (event.key !== 'Escape') return
  if (!byId('notice').hidden) endComplaint()
  else if (target === filter && filter.value !== '') {
    filter.value = ''
    list.filter('')
  } else if (detail.shown !== undefined) closeDetail()
  else list.focus()
}

function listen() {
  document.addEventListener('keydown', key)
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden) refresh()
  })
  addEventListener('popstate', arrive)
  addEventListener('hashchange', arrive)
  addEventListener('unhandledrejection', ({ reason }) => complain(reason))
  filter.addEventListener('input', () => list.filter(filter.value))
  filter.addEventListener('keydown', ({ key: pressed }) => {
    if (pressed === 'ArrowDown') list.focus()
    if (pressed === 'Enter') list.openActive()
  })
  namespaces.addEventListener('change', () => {
    list.forget()
    go(undefined)
    refresh()
  })
  byId('deploy-open').addEventListener('click', () => openDeploy())
  byId('empty-deploy').addEventListener('click', () => openDeploy())
  byId('change').addEventListener('click', () => openDeploy(detail.shown))
  byId('remove').addEventListener('click', () => {
    if (detail.shown !== undefined) removeDialog.open(detail.shown)
  })
  byId('close').addEventListener('click', closeDetail)
  byId('notice-close').addEventListener('click', endComplaint)
}

/** How the first function gets here, with this gateway's own address. */
function showFirstSteps() {
  const gateway = BASE.href.replace(/\/$/, '')
  const cli = [
    `export OPENFAAS_URL=${gateway}`,
    'faas-cli deploy --name hello --image local/hello --fprocess cat',
    'echo hi | faas-cli invoke hello',
  ]
  const curl = [
    `curl --data '{"service":"hello","image":"local/hello","envProcess":"cat"}' \\`,
    `  ${gateway}/system/functions`,
    `curl --data hi ${gateway}/function/hello`,
  ]
  showCommand(byId('empty-cli'), cli.join('\n'))
  showCommand(byId('empty-curl'), curl.join('\n'))
}

showFirstSteps()
listen()
refresh()
