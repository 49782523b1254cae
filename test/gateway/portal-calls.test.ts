// The portal in a real browser: the async calls that a tab has submitted, and their cancellation.

import type { Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import { noChromium } from '../servers/chromium.ts'
import { PortalBrowser, expectNoOverflow, invoke, openFunction } from './portal-browser.ts'
import { nodeFunction, startRig, until } from './rig.ts'
import type { Rig } from './rig.ts'

const MARKUP = '<img src=x onerror="window.obeyed=true">'
const missing = noChromium()

let browser: PortalBrowser
let rig: Rig

beforeAll(async () => {
  if (missing === undefined) browser = await PortalBrowser.launch()
})
afterAll(() => browser?.[Symbol.asyncDispose]())
beforeEach(async (context) => {
  if (missing !== undefined) context.skip(missing)
  rig = await startRig([nodeFunction('misbehave', 'misbehave'), nodeFunction('echo', 'echo')], {
    queue: { inFlightMax: 1 },
  })
})
afterEach(() => rig?.[Symbol.asyncDispose]())

const logged = (part: string): number => rig.log.requests.filter((line) => line.includes(part)).length

/** @returns its id, as the page names it */
async function submit(page: Page, fields: Readonly<Record<string, string>>): Promise<string> {
  await page.getByLabel('Asynchronously').check()
  await invoke(page, fields)
  const note = (await page.locator('#answer-note').textContent()) ?? ''
  return /^Queued as call (.+?)\. Its answer/.exec(note)?.[1] ?? note
}

/** Each in one piece, the newest first. */
async function rows(page: Page): Promise<readonly string[]> {
  const texts = await page.locator('#async-rows li').allTextContents()
  return texts.map((text) => text.replace(/^\d\d:\d\d:\d\d\.\d{3}/, ''))
}

describe('async calls', () => {
  test.each(['light', 'dark'] as const)(
    'queued and running ones are cancelled with the keyboard alone, %s',
    async (colorScheme) => {
      await using portal = await browser.open(rig, { colorScheme })
      const { page } = portal
      await openFunction(page, 'misbehave')
      expect(await page.getByRole('heading', { name: 'Async calls from this tab' }).isVisible()).toBe(false)
      const running = await submit(page, { path: '/never' })
      await until('it runs', () => logged('Invoking: misbehave') === 1)
      const queued = await submit(page, { path: '/fine', callback: 'http://127.0.0.1:9/done' })
      expect(await page.locator('#answer-note').textContent()).toContain('Its answer goes to http://127.0.0.1:9/done')
      expect(await rows(page)).toEqual([`${queued}AcceptedCancel`, `${running}AcceptedCancel`])
      expect(logged(`[${queued}] Queueing (0) bytes for: misbehave.openfaas-fn.`)).toBe(1)
      await expectNoOverflow(page)
      await portal.picture(`async-accepted-${colorScheme}`)

      await page.getByRole('button', { name: `Cancel call ${queued}` }).focus()
      await page.keyboard.press('Enter')
      await expect.poll(() => rows(page)).toEqual([`${queued}Cancelled`, `${running}AcceptedCancel`])
      expect(logged(`[${queued}] Cancelled.`)).toBe(1)
      // The focus went on to the next one.
      await expect.poll(() => page.locator('button:focus').getAttribute('aria-label')).toBe(`Cancel call ${running}`)
      await page.keyboard.press('Enter')
      await expect.poll(() => rows(page)).toEqual([`${queued}Cancelled`, `${running}Cancelled`])
      await expect.poll(() => page.locator('#async-title:focus').count()).toBe(1)
      expect(await page.locator('#said').textContent()).toBe(`Call ${running}: Cancelled.`)
      await until('the running one is over', () => logged('to /function/misbehave.openfaas-fn/never - [499]') === 1)
      expect(rig.gateway.queueLength).toBe(0)
      await portal.picture(`async-cancelled-${colorScheme}`)
      expect(portal).toMatchObject({ problems: [], foreign: [] })
    },
  )

  test('one that is over is said to be, and its answer went nowhere', async () => {
    await using portal = await browser.open(rig)
    const { page } = portal
    await openFunction(page, 'echo')
    const id = await submit(page, { body: 'x' })
    expect(await page.locator('#answer-note').textContent()).toBe(
      `Queued as call ${id}. Its answer goes nowhere: no callback URL was given.\n`,
    )
    await until('it is over', () => rig.gateway.queueLength === 0)
    await page.getByRole('button', { name: `Cancel call ${id}` }).click()
    await expect.poll(() => rows(page)).toEqual([`${id}No longer queued or running`])
  })

  test('are those of the function and of this tab, and a reload keeps them', async () => {
    await using portal = await browser.open(rig)
    const { page } = portal
    await openFunction(page, 'misbehave')
    const id = await submit(page, { path: '/never' })
    await openFunction(page, 'echo')
    expect(await page.locator('#async-calls').isVisible()).toBe(false)
    await openFunction(page, 'misbehave')
    expect(await rows(page)).toEqual([`${id}AcceptedCancel`])
    await page.reload()
    await expect.poll(() => rows(page)).toEqual([`${id}AcceptedCancel`])
    await using other = await browser.open(rig)
    await openFunction(other.page, 'misbehave')
    expect(await other.page.locator('#async-calls').isVisible()).toBe(false)
    await page.getByRole('button', { name: `Cancel call ${id}` }).click()
    await until('it is over', () => logged('to /function/misbehave.openfaas-fn/never - [499]') === 1)
  })

  test("an id of the caller's own is shown as text, and works", async () => {
    await using portal = await browser.open(rig)
    const { page } = portal
    await openFunction(page, 'misbehave')
    expect(await submit(page, { path: '/never', headers: `X-Call-Id: a/b?c ${MARKUP}` })).toBe(`a/b?c ${MARKUP}`)
    expect(await rows(page)).toEqual([`a/b?c ${MARKUP}AcceptedCancel`])
    expect(await page.evaluate('window.obeyed === true')).toBe(false)
    await page.getByRole('button', { name: 'Cancel call' }).click()
    await expect.poll(() => rows(page)).toEqual([`a/b?c ${MARKUP}Cancelled`])
  })

  test('a gateway that is gone is said, and the call can be cancelled once it is back', async () => {
    await using portal = await browser.open(rig)
    const { page } = portal
    await openFunction(page, 'misbehave')
    const id = await submit(page, { path: '/never' })
    await page.context().setOffline(true)
    const cancel = page.getByRole('button', { name: `Cancel call ${id}` })
    await cancel.click()
    await page.locator('#async-rows [role=alert]').waitFor()
    await page.context().setOffline(false)
    await cancel.click()
    await expect.poll(() => rows(page)).toEqual([`${id}Cancelled`])
  })

  test('a synchronous 202 is no async call', async () => {
    await using portal = await browser.open(rig)
    const { page } = portal
    await openFunction(page, 'misbehave')
    await invoke(page, { path: '/refuse', query: 'code=202' })
    expect(await page.locator('#outcome b').textContent()).toBe('202 Accepted')
    expect(await page.locator('#async-calls').isVisible()).toBe(false)
  })
})
