// The portal in a real browser: what it changes (deploy, change, scale, remove), the log it follows, and pages of other sites
// that try the same with the user's credentials.

import { createServer } from 'node:http'

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import { Secret, listenAt } from '../../src/sdk/index.ts'
import { noChromium } from '../servers/chromium.ts'
import { PortalBrowser, invoke, openFunction } from './portal-browser.ts'
import { nodeFunction, processFunction, startRig } from './rig.ts'

const missing = noChromium()
const ESC = String.fromCharCode(27)
const BELL = String.fromCharCode(7)

let browser: PortalBrowser

beforeAll(async () => {
  if (missing === undefined) browser = await PortalBrowser.launch()
})
afterAll(() => browser?.[Symbol.asyncDispose]())
beforeEach((context) => {
  if (missing !== undefined) context.skip(missing)
})

describe('what is deployed', () => {
  test('is deployed, changed and removed from the page, with what the form says', async () => {
    await using rig = await startRig([])
    await rig.call('/system/secrets', { body: JSON.stringify({ name: 'api-key', value: 'never shown' }) })
    await using portal = await browser.open(rig)
    const { page } = portal
    await page.getByRole('button', { name: 'Deploy', exact: true }).click()
    await page.getByText('There are: api-key').waitFor()
    const form = page.locator('#deploy-form')
    for (const [name, value] of Object.entries({
      service: 'greeter',
      image: 'local/greeter:1',
      envProcess: 'cat',
      envVars: 'LEVEL=debug\nTEXT="two\\nlines"\nEQUATION=a=b',
      labels: 'team=shop',
      annotations: 'topic=orders.created',
      secrets: 'api-key',
    }))
      await form.locator(`[name=${name}]`).fill(value)
    await portal.picture('deploy')
    await page.keyboard.press('Escape')
    expect(rig.gateway.functions()).toEqual([])
    // What was typed is there again.
    await page.getByRole('button', { name: 'Deploy', exact: true }).click()
    await form.getByRole('button', { name: 'Deploy' }).click()
    await page.getByRole('heading', { name: 'greeter', exact: true }).waitFor()
    expect(rig.gateway.functions()).toMatchObject([
      {
        name: 'greeter',
        namespace: 'openfaas-fn',
        image: 'local/greeter:1',
        envProcess: 'cat',
        envVars: { LEVEL: 'debug', TEXT: 'two\nlines', EQUATION: 'a=b' },
        labels: { team: 'shop' },
        annotations: { topic: 'orders.created' },
        secrets: ['api-key'],
      },
    ])
    await invoke(page, { body: 'hello' })
    expect(await page.locator('#answer-body').textContent()).toBe('hello')

    await page.getByRole('button', { name: 'Change', exact: true }).click()
    expect(await form.locator('[name=envVars]').inputValue()).toBe('LEVEL=debug\nTEXT="two\\nlines"\nEQUATION=a=b')
    await form.locator('[name=labels]').fill('team=billing')
    await form.getByRole('button', { name: 'Deploy changes' }).click()
    await page.locator('#deploy').waitFor({ state: 'hidden' })
    expect(rig.gateway.functions()).toMatchObject([{ labels: { team: 'billing' }, secrets: ['api-key'] }])

    await page.getByRole('button', { name: 'Remove', exact: true }).click()
    await page.getByRole('alertdialog', { name: 'Remove greeter?' }).waitFor()
    expect(await page.locator('button:focus').textContent()).toBe('Cancel')
    await page.keyboard.press('Enter')
    expect(rig.gateway.functions()).toHaveLength(1)
    await page.getByRole('button', { name: 'Remove', exact: true }).click()
    await page.getByRole('alertdialog').getByRole('button', { name: 'Remove' }).click()
    await page.getByRole('heading', { name: 'No functions in this namespace yet' }).waitFor()
    expect(rig.gateway.functions()).toEqual([])
    expect(portal).toMatchObject({ problems: [], foreign: [] })
  })

  test('what a change does not show on the form stays', async () => {
    const kept = { constraints: ['zone=a'], limits: { memory: '64Mi' }, requests: { cpu: '10m' } }
    await using rig = await startRig([processFunction('cat', 'cat', { ...kept, readOnlyRootFilesystem: true })])
    await using portal = await browser.open(rig)
    await openFunction(portal.page, 'cat')
    await portal.page.getByRole('button', { name: 'Change', exact: true }).click()
    await portal.page.locator('#deploy [name=image]').fill('local/cat:2')
    await portal.page.getByRole('button', { name: 'Deploy changes' }).click()
    await portal.page.locator('#deploy').waitFor({ state: 'hidden' })
    expect(rig.gateway.functions()).toMatchObject([{ image: 'local/cat:2', ...kept, readOnlyRootFilesystem: true }])
  })

  test("the gateway's refusals are shown word for word, and as text", async () => {
    await using rig = await startRig([])
    await using portal = await browser.open(rig)
    const { page } = portal
    const refusal = page.locator('#deploy-error')
    await page.getByRole('button', { name: 'Deploy one here' }).click()
    const deploy = async (service: string, labels = ''): Promise<void> => {
      await page.locator('#deploy [name=service]').fill(service)
      await page.locator('#deploy [name=image]').fill('local/<b>x</b>')
      await page.locator('#deploy [name=labels]').fill(labels)
      await page.locator('#deploy-send').click()
      await refusal.waitFor()
    }
    await deploy('x', 'no pair')
    expect(await refusal.textContent()).toBe('Labels, line 1: write it as KEY=value')
    await deploy('Not A Name')
    const said = await rig.call('/system/functions', { body: '{"service":"Not A Name","image":"local/<b>x</b>"}' })
    expect(said.status).toBe(400)
    await expect.poll(() => refusal.textContent()).toBe(`400 Bad Request: ${said.text.trim()}`)
    await portal.picture('deploy-refused')
    expect(await page.locator('#deploy-error b').count()).toBe(0)
  })

  test('replicas are counted up and down, to none where the function may be', async () => {
    const labels = { 'com.openfaas.scale.zero': 'true' }
    await using rig = await startRig([processFunction('cat', 'cat', { labels })])
    await using portal = await browser.open(rig)
    const { page } = portal
    await openFunction(page, 'cat')
    const replicas = page.locator('#replicas')
    await page.getByRole('button', { name: 'One replica more' }).click()
    await expect.poll(() => replicas.textContent()).toBe('2')
    await page.getByRole('option', { name: /^cat, Ready, 2 of 2 replicas/ }).waitFor()
    await page.getByRole('button', { name: 'One replica less' }).click()
    await expect.poll(() => replicas.textContent()).toBe('1')
    await page.getByRole('button', { name: 'One replica less' }).click()
    await page.getByRole('option', { name: /^cat, Scaled to zero, 0 of 0 replicas/ }).waitFor()
    expect(await page.getByRole('button', { name: 'One replica less' }).isDisabled()).toBe(true)
    await portal.picture('zero')
  })

  test('limits of the gateway are named', async () => {
    await using rig = await startRig([processFunction('cat', 'cat')])
    await using portal = await browser.open(rig)
    await openFunction(portal.page, 'cat')
    await portal.page.getByRole('button', { name: 'One replica less' }).click()
    await portal.page.getByRole('alert').getByText('cat stays at 1').waitFor()
    await portal.picture('limit')
    await portal.page.keyboard.press('Escape')
    await portal.page.locator('#notice').waitFor({ state: 'hidden' })
    expect(await portal.page.locator('#detail').isVisible()).toBe(true)
  })
})

describe('the log', () => {
  test('is followed as it is printed; escape sequences become colours, markup stays text', async () => {
    await using rig = await startRig([nodeFunction('shows', 'portal')])
    await using portal = await browser.open(rig)
    const { page } = portal
    await openFunction(page, 'shows')
    await page.getByRole('tab', { name: 'Logs' }).click()
    await page.getByText('following').waitFor()
    const print = async (text: string): Promise<void> => {
      expect((await rig.call('/function/shows/print', { body: text })).text).toBe('printed')
    }
    await print(
      [
        `${ESC}[32mready${ESC}[0m plain`,
        '<script>window.obeyed = true</script><img src=x onerror="window.obeyed = true">',
        `a${ESC}[2Kb${ESC}]0;title${BELL}c${BELL}`,
      ].join('\n'),
    )
    const line = (text: string) => page.locator('#log bdi').getByText(text, { exact: true })
    await line('ready plain').waitFor()
    expect(await page.locator('#log .green').textContent()).toBe('ready')
    await line('<script>window.obeyed = true</script><img src=x onerror="window.obeyed = true">').waitFor()
    await line('abc^G').waitFor()
    expect(await page.evaluate('window.obeyed === true')).toBe(false)
    await print('later')
    await line('later').waitFor()
    await portal.picture('logs')
    await page.getByRole('searchbox', { name: 'Filter lines' }).fill('LATER')
    await line('ready plain').waitFor({ state: 'hidden' })
    expect(await line('later').isVisible()).toBe(true)
    await page.getByRole('button', { name: 'Clear' }).click()
    expect(await page.locator('#log p').count()).toBe(0)
    expect(portal.problems).toEqual([])
  })

  test('keeps at most 2,000 lines, and its end in sight', async () => {
    await using rig = await startRig([nodeFunction('shows', 'portal')])
    await using portal = await browser.open(rig)
    const { page } = portal
    await openFunction(page, 'shows')
    await page.getByRole('tab', { name: 'Logs' }).click()
    await page.getByText('following').waitFor()
    await rig.call('/function/shows/print', {
      body: Array.from({ length: 3000 }, (_, index) => `line ${index}`).join('\n'),
    })
    await page.locator('#log bdi').getByText('line 2999', { exact: true }).waitFor()
    expect(await page.locator('#log p').count()).toBe(2000)
    const fromEnd =
      'document.getElementById("log").scrollHeight - document.getElementById("log").scrollTop - document.getElementById("log").clientHeight'
    expect(await page.evaluate(fromEnd)).toBeLessThan(24)
  })

  test('its stream ends with the look at it', async () => {
    await using rig = await startRig([nodeFunction('shows', 'portal')])
    await using portal = await browser.open(rig)
    const { page } = portal
    await openFunction(page, 'shows')
    const [stream] = await Promise.all([
      page.waitForRequest((request) => request.url().includes('/system/logs?')),
      page.getByRole('tab', { name: 'Logs' }).click(),
    ])
    const ended = page.waitForEvent('requestfailed', (request) => request === stream)
    await page.getByRole('tab', { name: 'Settings' }).click()
    expect((await ended).failure()?.errorText).toContain('ABORTED')
  })
})

describe('a page of another site', () => {
  const PAGE = '<!doctype html><title>Elsewhere</title>'

  test.each(['127.0.0.1', 'localhost'])(
    "at %s cannot deploy or remove with the user's credentials, nor read anything",
    async (host) => {
      await using rig = await startRig([processFunction('mine', 'cat')], {
        auth: { username: 'admin', password: new Secret('secret') },
      })
      await using portal = await browser.open(rig, { httpCredentials: { username: 'admin', password: 'secret' } })
      const elsewhere = createServer((_, response) => response.setHeader('Content-Type', 'text/html').end(PAGE))
      const { port } = new URL(`http://${await listenAt(elsewhere, '127.0.0.1', 0)}`)
      const { page } = portal
      await page.goto(`http://${host}:${port}/`)
      // As any page may ask without being asked about it first.
      const send = (method: string, body: string): string => `fetch('${rig.gateway.address}/system/functions',
        { method: '${method}', mode: 'no-cors', credentials: 'include', body: ${JSON.stringify(body)} })
        .then((response) => response.type, (error) => error.name)`
      const answered = page.waitForResponse((response) => response.url().endsWith('/system/functions'))
      const deployment = JSON.stringify({ service: 'planted', image: 'local/planted', envProcess: 'cat' })
      expect(await page.evaluate(send('POST', deployment))).toBe('opaque')
      expect((await answered).status()).toBe(403)
      for (const method of ['PUT', 'DELETE'])
        expect(await page.evaluate(send(method, '{"functionName":"mine"}'))).toBe('TypeError')
      const read = `fetch('${rig.gateway.address}/system/functions', { credentials: 'include' }).catch((error) => error.name)`
      expect(await page.evaluate(read)).toBe('TypeError')
      expect(rig.gateway.functions().map(({ name }) => name)).toEqual(['mine'])
      elsewhere.close()
    },
  )
})
