// The portal in a real browser: the list, the keys, calls and their answers, and that what functions say is shown and never
// obeyed.

import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import { Secret } from '../../src/sdk/index.ts'
import { noChromium } from '../servers/chromium.ts'
import { findExecutable } from '../servers/process.ts'
import { PortalBrowser, expectNoOverflow, invoke, openFunction } from './portal-browser.ts'
import { FIXTURES, nodeFunction, processFunction, startRig } from './rig.ts'
import type { Rig } from './rig.ts'

const MARKUP = '<script>window.obeyed = true</script><img src=x onerror="window.obeyed = true">'
/** As long as a name may be. */
const LONG = `long-${'name-'.repeat(11)}end`
const missing = noChromium()

let browser: PortalBrowser
let rig: Rig

beforeAll(async () => {
  if (missing !== undefined) return
  browser = await PortalBrowser.launch()
  rig = await startRig([
    nodeFunction('shows', 'portal', { image: MARKUP, annotations: { note: MARKUP }, envVars: { MARKUP } }),
    processFunction('cat', 'cat', { labels: { team: 'shop' } }),
    processFunction('elsewhere', 'cat', { namespace: 'staging' }),
    processFunction(LONG, 'cat'),
  ])
})
afterAll(async () => {
  await browser?.[Symbol.asyncDispose]()
  await rig?.[Symbol.asyncDispose]()
})
beforeEach((context) => {
  if (missing !== undefined) context.skip(missing)
})

describe('the list', () => {
  test('shows each function with its state, image, replicas and calls, and follows them', async () => {
    await using own = await startRig([processFunction('cat', 'cat'), processFunction('wc', 'wc -l')])
    await using portal = await browser.open(own)
    await portal.page.getByRole('option', { name: 'cat, Ready, 1 of 1 replicas, 0 calls' }).waitFor()
    expect(await portal.page.locator('#count').textContent()).toBe('2 functions')
    await own.call('/function/cat', { body: 'x' })
    await portal.page.getByRole('option', { name: 'cat, Ready, 1 of 1 replicas, 1 calls' }).waitFor()
    await own.gateway.deploy(processFunction('new', 'cat'))
    await portal.page.getByRole('option', { name: /^new,/ }).waitFor()
    await own.gateway.remove('wc')
    await portal.page.getByRole('option', { name: /^wc,/ }).waitFor({ state: 'detached' })
    await portal.picture('list')
    expect(portal).toMatchObject({ problems: [], foreign: [] })
  })

  test('of 1,000 functions only those in sight are rows, and each can be reached', async () => {
    await using large = await startRig(Array.from({ length: 1000 }, (_, index) => nodeFunction(`f-${index}`, 'portal')))
    await using portal = await browser.open(large)
    const { page } = portal
    const rows = page.locator('#rows').getByRole('option')
    await page.getByText('1,000 functions').waitFor()
    expect(await rows.count()).toBeLessThan(60)
    expect(await rows.first().getAttribute('aria-setsize')).toBe('1000')
    await page.getByRole('listbox').focus()
    await page.keyboard.press('End')
    await page.getByRole('option', { name: /^f-999,/ }).waitFor()
    expect(await rows.count()).toBeLessThan(60)
    await page.keyboard.press('/')
    await page.keyboard.type('f-50')
    await page.getByText('11 of 1,000 functions').waitFor()
    expect(await rows.evaluateAll((all) => all.map((one) => one.getAttribute('aria-label')?.split(',')[0]))).toEqual([
      'f-50',
      ...Array.from({ length: 10 }, (_, index) => `f-50${index}`),
    ])
  })

  test('the order of the column that is pressed', async () => {
    await using own = await startRig([processFunction('a', 'cat'), processFunction('b', 'cat')])
    await own.call('/function/b', { body: 'x' })
    await using portal = await browser.open(own)
    const names = (): Promise<(string | undefined)[]> =>
      portal.page
        .locator('#rows')
        .getByRole('option')
        .evaluateAll((all) => all.map((one) => one.getAttribute('aria-label')?.split(',')[0]))
    expect(await names()).toEqual(['a', 'b'])
    await portal.page.getByRole('button', { name: 'Calls' }).click()
    expect(await names()).toEqual(['b', 'a'])
  })

  test('another namespace has other functions, and the address keeps it', async () => {
    await using portal = await browser.open(rig)
    const { page } = portal
    await page.getByLabel('Namespace').first().selectOption('staging')
    await page.getByRole('option', { name: /^elsewhere,/ }).waitFor()
    expect(await page.locator('#rows').getByRole('option').count()).toBe(1)
    await page.reload()
    await page.getByRole('option', { name: /^elsewhere,/ }).waitFor()
    await openFunction(page, 'elsewhere')
    await invoke(page, { body: 'there' })
    expect(await page.locator('#answer-body').textContent()).toBe('there')
  })

  test('without functions it says how to deploy one here', async () => {
    await using empty = await startRig([])
    await using portal = await browser.open(empty, { colorScheme: 'dark' })
    await portal.page.getByRole('heading', { name: 'No functions in this namespace yet' }).waitFor()
    const { address } = empty.gateway
    expect(await portal.page.locator('#empty-cli').textContent()).toBe(
      `export OPENFAAS_URL=${address}\nfaas-cli deploy --name hello --image local/hello --fprocess cat\necho hi | faas-cli invoke hello`,
    )
    expect(await portal.page.locator('#empty-curl').textContent()).toContain(`${address}/system/functions`)
    await portal.picture('empty-dark')
  })

  test('its curl commands deploy and invoke one', async (context) => {
    if (findExecutable('curl') === undefined) context.skip('no curl on the PATH')
    await using empty = await startRig([])
    await using portal = await browser.open(empty)
    const commands = (await portal.page.locator('#empty-curl').textContent()) ?? ''
    const { stdout } = await promisify(execFile)('sh', ['-ec', commands])
    expect(stdout).toBe('hi')
    await portal.page.getByRole('option', { name: /^hello, Ready/ }).waitFor()
  })

  test('a gateway that is gone is named, and what was known stays', async () => {
    const own = await startRig([processFunction('cat', 'cat')])
    await using portal = await browser.open(own)
    await own[Symbol.asyncDispose]()
    await portal.page.getByText('The gateway does not answer').waitFor()
    expect(await portal.page.getByRole('option', { name: /^cat,/ }).isVisible()).toBe(true)
    await portal.picture('gone')
  })
})

test('the keyboard is enough', async () => {
  await using portal = await browser.open(rig)
  const { page } = portal
  await page.keyboard.press('/')
  expect(await page.locator('#filter:focus').count()).toBe(1)
  await page.keyboard.type('s')
  await page.keyboard.press('Escape')
  expect(await page.locator('#filter').inputValue()).toBe('')
  await page.keyboard.press('ArrowDown')
  expect(await page.locator('#rows:focus').count()).toBe(1)
  await page.keyboard.press('End')
  await page.keyboard.press('ArrowUp')
  await page.keyboard.press('ArrowDown')
  const active = await page.locator('#rows').getAttribute('aria-activedescendant')
  expect(await page.locator(`#${active}`).getAttribute('aria-label')).toMatch(/^shows,/)
  await portal.picture('keyboard')
  await page.keyboard.press('Enter')
  expect(await page.locator('#detail-name:focus').textContent()).toBe('shows')
  await page.getByRole('tab', { name: 'Invoke' }).focus()
  await page.keyboard.press('ArrowLeft')
  expect(await page.locator('[role=tab]:focus').textContent()).toBe('Settings')
  expect(await page.getByRole('tabpanel').getAttribute('aria-labelledby')).toBe('tab-settings')
  await page.keyboard.press('ArrowRight')
  await page.locator('[name=body]').fill('from the keys')
  await page.keyboard.press('Control+Enter')
  await page.locator('#answer-body > pre').waitFor()
  // A slash is a slash where one types.
  await page.locator('[name=path]').fill('')
  await page.locator('[name=path]').press('/')
  expect(await page.locator('[name=path]').inputValue()).toBe('/')
  await page.keyboard.press('Escape')
  await page.locator('#detail').waitFor({ state: 'hidden' })
  expect(await page.locator('#rows:focus').count()).toBe(1)
  await page.goBack()
  await page.locator('#detail').waitFor()
})

describe('a call', () => {
  test('has method, sub-path, query, headers, content type and body as they were given', async () => {
    await using portal = await browser.open(rig)
    const { page } = portal
    await openFunction(page, 'shows')
    await invoke(page, {
      method: 'PUT',
      path: 'v1/items',
      query: 'a=1&b=%20',
      contentType: 'application/json',
      headers: 'X-One: 1\nHost: elsewhere\nX-Two: a: b',
      body: '{"n":1}',
    })
    const seen = JSON.parse((await page.locator('#answer-body > pre').textContent()) ?? '') as unknown
    expect(seen).toMatchObject({
      method: 'PUT',
      path: '/v1/items',
      query: { a: '1', b: ' ' },
      body: { n: 1 },
      headers: { 'content-type': 'application/json', 'x-one': '1', 'x-two': 'a: b' },
    })
    expect(await page.locator('#outcome').textContent()).toMatch(/^200 OK[\d.]+ m?s.*[\d.]+ k?B.*application\/json/)
    expect(await page.locator('#answer-note').textContent()).toContain('Host')
    await page.locator('#answer-headers summary').click()
    expect(await page.locator('#answer-headers dl').textContent()).toContain('x-start-time')
    await portal.picture('invoke')
    expect(portal).toMatchObject({ problems: [], foreign: [] })
  })

  test('JSON is laid out without a change to its numbers; raw is as it came', async () => {
    await using portal = await browser.open(rig)
    const { page } = portal
    await openFunction(page, 'shows')
    await invoke(page, { path: '/json' })
    const body = page.locator('#answer-body > pre')
    expect(await body.textContent()).toBe(
      '{\n  "id": 12345678901234567890,\n  "price": 1.10,\n  "items": [],\n  "text": "a,b:{}",\n  "nested": {\n    "a": [\n      1,\n      2\n    ]\n  }\n}',
    )
    await page.getByRole('button', { name: 'Raw' }).click()
    expect(await body.textContent()).toBe(
      '{"id":12345678901234567890,"price":1.10,"items":[],"text":"a,b:{}","nested":{"a":[1,2]}}',
    )
  })

  test.each([
    ['/teapot', "418 I'm a Teapot", 'short and stout'],
    ['/bytes', '200 OK', '4 B of binary data.'],
    ['/moved', 'Redirect (3xx)', ''],
  ])('%s', async (path, title, body) => {
    await using portal = await browser.open(rig)
    await openFunction(portal.page, 'shows')
    await invoke(portal.page, { path })
    expect(await portal.page.locator('#outcome b').textContent()).toBe(title)
    expect(await portal.page.locator('#answer-body').textContent()).toBe(body)
  })

  test('bytes can be downloaded as they are', async () => {
    await using portal = await browser.open(rig)
    await openFunction(portal.page, 'shows')
    await invoke(portal.page, { path: '/bytes' })
    const [download] = await Promise.all([
      portal.page.waitForEvent('download'),
      portal.page.getByRole('link', { name: 'Download' }).click(),
    ])
    expect(download.suggestedFilename()).toBe('shows-answer')
    const chunks: Buffer[] = []
    for await (const chunk of await download.createReadStream()) chunks.push(chunk as Buffer)
    expect(Buffer.concat(chunks)).toEqual(Buffer.from([0, 255, 254, 1]))
  })

  test('an image is one', async () => {
    await using portal = await browser.open(rig)
    await openFunction(portal.page, 'shows')
    await invoke(portal.page, { path: '/image' })
    const image = portal.page.getByRole('img', { name: 'The image that the function answered' })
    await image.waitFor()
    await expect.poll(() => image.evaluate((one) => (one as unknown as { naturalWidth: number }).naturalWidth)).toBe(4)
    await portal.picture('image')
  })

  test('of a large text the beginning is shown', async () => {
    await using portal = await browser.open(rig)
    await openFunction(portal.page, 'shows')
    await invoke(portal.page, { path: '/large' })
    expect((await portal.page.locator('#answer-body > pre').textContent())?.length).toBe(300_000)
    expect(await portal.page.locator('#outcome').textContent()).toContain('400 kB')
  })

  test('an answer is shown while it still comes in, and can be stopped', async () => {
    const { runtime: _, ...spec } = processFunction('parts', './two-parts.sh')
    const goFile = join(rig.directory, 'go')
    await rig.gateway.deploy({
      ...spec,
      envVars: { GO_FILE: goFile },
      runtime: {
        kind: 'process',
        command: './two-parts.sh',
        directory: join(FIXTURES, 'processes'),
        mode: 'streaming',
      },
    })
    await using portal = await browser.open(rig)
    const { page } = portal
    await openFunction(page, 'parts')
    const send = page.getByRole('button', { name: 'Invoke', exact: true })
    const body = page.locator('#answer-body > pre')
    await send.click()
    await expect.poll(() => body.textContent()).toBe('first\n')
    await page.getByRole('button', { name: 'Stop' }).click()
    await page.getByText('The answer broke off: stopped').waitFor()
    await send.click()
    await expect.poll(() => body.textContent()).toBe('first\n')
    writeFileSync(goFile, '')
    await expect.poll(() => body.textContent()).toBe('first\nsecond\n')
    await rig.gateway.remove('parts')
  })

  test('an error of the platform is told from one of the function', async () => {
    await using own = await startRig([processFunction('gone', './nowhere')])
    await using portal = await browser.open(own)
    await openFunction(portal.page, 'gone')
    await invoke(portal.page, {})
    expect(await portal.page.locator('#outcome').getAttribute('data-kind')).toBe('bad')
    expect(await portal.page.locator('#outcome').textContent()).toContain('not the function')
    expect(await portal.page.locator('#answer-note').textContent()).toBe(
      'The reason stands in the log of the function: see the tab Logs.\n',
    )
    await portal.picture('platform-error')
    await portal.page.getByRole('tab', { name: 'Logs' }).click()
    await portal.page.getByText(/^POST \/ - failed: could not be started: there is no \.\/nowhere \[/).waitFor()
  })

  test('asynchronously: the call is queued with its callback, and its id is shown', async () => {
    await using portal = await browser.open(rig)
    const { page } = portal
    await openFunction(page, 'shows')
    await page.getByLabel('Asynchronously').check()
    await invoke(page, { callback: `${rig.gateway.address}/function/cat`, path: '/teapot', body: 'later' })
    expect(await page.locator('#outcome b').textContent()).toBe('202 Accepted')
    expect(await page.locator('#answer-note').textContent()).toMatch(/^Queued as call [\da-f-]{36}\./)
    await expect.poll(() => rig.log.requests.filter((line) => line.includes('/function/cat - [200]')).length).toBe(1)
  })

  test('what was typed is there again after a look at another function', async () => {
    await using portal = await browser.open(rig)
    const { page } = portal
    await openFunction(page, 'shows')
    await page.locator('[name=body]').fill('draft')
    await openFunction(page, 'cat')
    expect(await page.locator('[name=body]').inputValue()).toBe('')
    await openFunction(page, 'shows')
    expect(await page.locator('[name=body]').inputValue()).toBe('draft')
  })
})

describe('what a function says is shown and never obeyed', () => {
  const obeyed = 'window.obeyed === true'

  test('its image, annotations and environment', async () => {
    await using portal = await browser.open(rig)
    const { page } = portal
    await page.getByText(MARKUP).first().waitFor()
    await openFunction(page, 'shows')
    await page.getByRole('tab', { name: 'Settings' }).click()
    expect(await page.locator('#settings').textContent()).toContain(`note: ${MARKUP}`)
    await portal.picture('settings')
    await page.getByRole('button', { name: 'Change', exact: true }).click()
    expect(await page.locator('#deploy [name=envVars]').inputValue()).toBe(`MARKUP=${MARKUP}`)
    expect(await page.evaluate(obeyed)).toBe(false)
    expect(await page.locator('script:not([src]), img[onerror]').count()).toBe(0)
    expect(portal.problems).toEqual([])
  })

  test.each([
    ['/html', MARKUP],
    ['/svg', ''],
  ])('an answer: %s', async (path, text) => {
    await using portal = await browser.open(rig)
    const { page } = portal
    await openFunction(page, 'shows')
    await invoke(page, { path })
    expect(await page.locator('#answer-body').textContent()).toBe(text)
    expect(await page.locator('#answer-body > pre, #answer-body > img').count()).toBe(1)
    expect(await page.evaluate(obeyed)).toBe(false)
    expect(portal.problems).toEqual([])
  })
})

describe('with basic auth on', () => {
  const credentials = { username: 'admin', password: 'p:ss' }

  test("the browser's own dialog opens the portal, and functions never see the gateway's credentials", async () => {
    await using closed = await startRig([nodeFunction('shows', 'portal')], {
      auth: { username: 'admin', password: new Secret('p:ss') },
    })
    await using portal = await browser.open(closed, { httpCredentials: credentials })
    await openFunction(portal.page, 'shows')
    await invoke(portal.page, { path: '/asks' })
    expect(await portal.page.locator('#answer-body').textContent()).toBe('who are you?')
    await invoke(portal.page, { path: '/who' })
    const seen = JSON.parse((await portal.page.locator('#answer-body > pre').textContent()) ?? '') as {
      headers: object
    }
    expect(seen.headers).not.toHaveProperty('authorization')
    expect(seen.headers).toHaveProperty('user-agent')
  })
})

describe('everybody can read it', () => {
  /** Roles whose names people need to find them. */
  const NAMED = new Set(['textbox', 'searchbox', 'combobox', 'button', 'checkbox', 'listbox', 'tab', 'dialog', 'link'])

  test('every control has a name', async () => {
    await using portal = await browser.open(rig)
    const { page } = portal
    await openFunction(page, 'shows')
    await invoke(page, { path: '/json' })
    await page.getByLabel('Asynchronously').check()
    await page.getByRole('button', { name: 'Deploy', exact: true }).click()
    const session = await page.context().newCDPSession(page)
    let seen = 0
    for (const dialog of [true, false]) {
      if (!dialog) await page.keyboard.press('Escape')
      const { nodes } = await session.send('Accessibility.getFullAXTree')
      const controls = nodes.filter(({ role, ignored }) => !ignored && NAMED.has(String(role?.value)))
      seen += controls.length
      expect(controls.filter(({ name }) => (name?.value ?? '') === '')).toEqual([])
    }
    expect(seen).toBeGreaterThan(25)
  })

  test.each(['light', 'dark'] as const)(
    'text stands out from its ground (WCAG 2.2 §1.4.3), %s',
    async (colorScheme) => {
      await using portal = await browser.open(rig, { colorScheme })
      const grounds = ['ground', 'sheet', 'sunk', 'chosen']
      const pairs = ['ink', 'dim', 'accent', 'good', 'warn', 'bad'].flatMap((ink) =>
        grounds.map((on) => [ink, on] as const),
      )
      for (const [ink, on] of [...pairs, ['accent-ink', 'accent'] as const, ['accent-ink', 'bad'] as const]) {
        const [text, ground] = await portal.page.evaluate<[string, string]>(`(() => {
        const probe = document.body.appendChild(document.createElement('p'))
        probe.style.color = 'var(--${ink})'
        probe.style.background = 'var(--${on})'
        const { color, backgroundColor } = getComputedStyle(probe)
        probe.remove()
        return [color, backgroundColor]
      })()`)
        expect({ ink, on, ratio: contrast(text, ground) }).toMatchObject({
          ratio: expect.toSatisfy((ratio: number) => ratio >= 4.5) as number,
        })
      }
    },
  )
})

describe('it fits', () => {
  test.each([
    [360, 740],
    [900, 700],
    [1600, 900],
  ])('%i pixels, light and dark', async (width, height) => {
    for (const colorScheme of ['light', 'dark'] as const) {
      await using portal = await browser.open(rig, { viewport: { width, height }, colorScheme })
      const { page } = portal
      const picture = async (name: string): Promise<void> => {
        await expectNoOverflow(page)
        await portal.picture(`${name}-${width}-${colorScheme}`)
      }
      await picture('list')
      await page.getByRole('option', { name: new RegExp(`^${LONG},`) }).click()
      await picture('long')
      await page.keyboard.press('Escape')
      await page.getByRole('option', { name: /^shows,/ }).click()
      await invoke(page, { path: '/json' })
      await picture('invoke')
      for (const tab of ['Logs', 'Settings']) {
        await page.getByRole('tab', { name: tab }).click()
        await picture(tab.toLowerCase())
      }
      await page.getByRole('button', { name: 'Remove', exact: true }).first().click()
      await picture('remove')
      await page.keyboard.press('Escape')
      await page.getByRole('button', { name: 'Close (Escape)' }).click()
      await page.getByRole('button', { name: 'Deploy', exact: true }).first().click()
      await picture('deploy')
    }
  })
})

/** WCAG 2.2, contrast ratio of two opaque colours `rgb(r, g, b)`. */
function contrast(a: string, b: string): number {
  const [dark = 0, light = 0] = [luminance(a), luminance(b)].sort((one, other) => one - other)
  return (light + 0.05) / (dark + 0.05)
}

function luminance(color: string): number {
  const [red = 0, green = 0, blue = 0] = (color.match(/[\d.]+/g) ?? []).map((part) => {
    const value = Number(part) / 255
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4
  })
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue
}
