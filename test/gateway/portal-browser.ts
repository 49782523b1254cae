// A browser on the portal of a real gateway, for the tests of the page: what it asks for and complains about is recorded, and
// pictures of it go to the folder that HUB_TEST_PICTURES names.

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'

import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { expect } from 'vitest'

import { launchChromium } from '../servers/chromium.ts'
import type { Rig } from './rig.ts'

export interface Portal extends AsyncDisposable {
  readonly page: Page
  /** Addresses of other hosts that it asked for. */
  readonly foreign: readonly string[]
  /** Of scripts and of the content policy; not answers with an error status. */
  readonly problems: readonly string[]
  picture(name: string): Promise<void>
}

export interface PortalOptions extends BrowserContextOptions {
  /** After `/ui/`. */
  readonly hash?: string
}

/** Patience for what a loaded machine does slowly. */
const PATIENCE_MS = 60_000
const WIDE = { width: 1200, height: 760 }

export class PortalBrowser implements AsyncDisposable {
  readonly #browser: Browser

  constructor(browser: Browser) {
    this.#browser = browser
  }

  static async launch(): Promise<PortalBrowser> {
    return new PortalBrowser(await launchChromium())
  }

  /** In a profile of its own, once the first list is there. */
  async open({ gateway }: Pick<Rig, 'gateway'>, { hash = '', ...options }: PortalOptions = {}): Promise<Portal> {
    const context = await this.#browser.newContext({ viewport: WIDE, ...options })
    const page = await context.newPage()
    page.setDefaultTimeout(PATIENCE_MS)
    const foreign: string[] = []
    const problems: string[] = []
    page.on('request', (request) => {
      if (!request.url().startsWith(gateway.address) && !request.url().startsWith('blob:')) foreign.push(request.url())
    })
    page.on('pageerror', (error) => problems.push(error.message))
    page.on('console', (message) => {
      if (message.type() === 'error' && !message.text().startsWith('Failed to load resource'))
        problems.push(message.text())
    })
    await page.goto(`${gateway.address}/ui/${hash}`)
    await page.locator('#health[data-state]').waitFor()
    return {
      page,
      foreign,
      problems,
      picture: async (name) => {
        const folder = process.env['HUB_TEST_PICTURES'] ?? ''
        if (folder === '') return
        mkdirSync(folder, { recursive: true })
        await page.screenshot({ path: join(folder, `${name}.png`) })
      },
      [Symbol.asyncDispose]: () => context.close(),
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#browser.close()
  }
}

/** Opens a function of the list by its name, however far down it is. */
export async function openFunction(page: Page, name: string): Promise<void> {
  await page.getByRole('searchbox', { name: 'Filter by name or image' }).fill(name)
  await page.getByRole('option', { name: new RegExp(`^${name},`) }).click()
  await page.getByRole('heading', { name, exact: true }).waitFor()
}

/** Fills in what is given, invokes, and waits until the whole answer is shown. */
export async function invoke(page: Page, fields: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, value] of Object.entries(fields)) {
    const field = page.locator(`#invoke [name="${name}"]`)
    if (name === 'method') await field.selectOption(value)
    else await field.fill(value)
  }
  const outcome = page.locator('#outcome')
  await page.getByRole('button', { name: 'Invoke', exact: true }).click()
  await page.locator('#stop').waitFor({ state: 'hidden' })
  await outcome.locator('b').waitFor()
}

/** What an ancestor cuts off or lets scroll is judged by that ancestor. */
const TOO_WIDE = `Array.from(document.querySelectorAll('body *'))
  .filter((one) => one.checkVisibility() && one.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
  .filter((one) => {
    for (let above = one.parentElement; above !== null; above = above.parentElement)
      if (getComputedStyle(above).overflowX !== 'visible') return false
    return true
  })
  .map((one) => one.outerHTML.slice(0, 120))`

/** No part sticks out to the side. */
export async function expectNoOverflow(page: Page): Promise<void> {
  expect(await page.evaluate(TOO_WIDE)).toEqual([])
}
