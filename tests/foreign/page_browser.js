// A browser with the status page: starts Chromium, records the requests and console errors of the page, and waits for
// its content. The tests themselves are elsewhere.
'use strict';
const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { chromium } = require('playwright-core');

const AXE = fs.readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
const PICTURES = process.env.PLUGFISH_PAGE_PICTURES;
const LOOKS = {
  light: { viewport: { width: 1280, height: 860 }, colorScheme: 'light' },
  dark: { viewport: { width: 1280, height: 860 }, colorScheme: 'dark' },
  phone: { viewport: { width: 320, height: 700 }, colorScheme: 'light', deviceScaleFactor: 2, isMobile: true, hasTouch: true },
};

const pause = ms => new Promise(done => setTimeout(done, ms));

/** Waits until `holds` returns something, at most this many seconds. */
async function until(what, seconds, holds) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const found = await holds();
    if (found) return found;
    if (Date.now() > end) throw new Error(`not within ${seconds} s: ${what}`);
    await pause(50);
  }
}

async function json(url, options = {}) {
  const answer = await fetch(url, { signal: AbortSignal.timeout(10000), ...options });
  const text = await answer.text();
  assert.ok(answer.ok, `${url}: ${answer.status} ${text}`);
  return text ? JSON.parse(text) : null;
}

const launch = () => chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-background-networking'],
});

/** A visitor with a window of their own. `excused` says which complaints of the browser are no surprise. */
class Visitor {
  static async open(browser, url, look = 'light', more = {}) {
    const visitor = new Visitor();
    Object.assign(visitor, { url, complaints: [], asked: [], excused: () => false });
    visitor.context = await browser.newContext({ ...LOOKS[look], ...more });
    visitor.page = await visitor.context.newPage();
    visitor.page.on('console', message => {
      if (['error', 'warning'].includes(message.type())) visitor.complain(`${message.text()} ${message.location().url}`);
    });
    visitor.page.on('pageerror', error => visitor.complain(`${error}`));
    visitor.page.on('request', request => visitor.asked.push(request.url()));
    await visitor.page.goto(url);
    return visitor;
  }

  complain(text) {
    if (!this.excused(text)) this.complaints.push(text);
  }

  async logIn(name, password) {
    await this.page.fill('#user', name);
    await this.page.fill('#password', password);
    await this.page.click('#login-form [type=submit]');
  }

  card(id) {
    return this.page.locator('.card', { has: this.page.getByRole('heading', { name: id, exact: true }) });
  }

  async badge(id, words, seconds) {
    const badge = this.card(id).locator('.badge');
    await until(`${id} shows ${words}`, seconds, async () => (await badge.textContent()) === words);
  }

  focused() {
    return this.page.evaluate(() => document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent);
  }

  /** Presses Tab until the element with this label has the focus. */
  async tabTo(label) {
    for (let presses = 0; presses < 60; presses += 1) {
      await this.page.keyboard.press('Tab');
      if ((await this.focused()) === label) return;
    }
    throw new Error(`Tab does not lead to ${label}`);
  }

  async axe(where) {
    await this.page.evaluate(AXE);
    const found = await this.page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
    const words = found.violations.map(one => `${one.id}: ${one.help}: ${one.nodes.map(node => node.html).slice(0, 3).join(' ')}`);
    assert.deepEqual(words, [], `axe on ${where}`);
    assert.ok(found.passes.length > 5, `axe looked at ${found.passes.length} things on ${where}`);
    const beyond = await this.page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    assert.ok(beyond <= 0, `${where} is ${beyond} pixels wider than the window`);
  }

  async picture(name) {
    await this.page.screenshot({ path: path.join(PICTURES, `${name}.png`) });
  }

  /** Nothing went wrong, nothing was asked of anyone else, nothing secret stands in a URL. */
  async close(secrets = []) {
    assert.deepEqual(this.complaints, []);
    for (const url of this.asked) {
      assert.ok(url.startsWith(this.url), `asked for ${url}`);
      for (const secret of secrets) assert.ok(!url.includes(secret), `${url} tells a secret`);
    }
    await this.context.close();
  }
}

module.exports = { assert, json, launch, pause, until, Visitor };
