// A page of another site gets nothing from the service through a browser that can reach it. Debian's Chromium (driven by
// Playwright) and Debian's Firefox (driven by its own remote control, Marionette) open a foreign page that tries to switch
// a node of a daemon without a login, to use cached Basic credentials, to read, and to use a host name of its own (DNS
// rebinding). Run by tests/foreign/page.
'use strict';
const { spawn } = require('node:child_process');
const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { assert, json, launch, pause, until } = require('./page_browser.js');
const { chromium } = require('playwright-core');

const PLUGFISH = path.resolve(process.env.CARGO_TARGET_DIR ?? 'target', 'debug/plugfish');
const EVIL = 'evil.example';
const RESET = '/redfish/v1/Systems/node-1/Actions/ComputerSystem.Reset';
const MANAGER = '/redfish/v1/Managers/node-1/Actions/Manager.Reset';
const children = [];

function start(command, ...words) {
  const child = spawn(command, words, { stdio: ['ignore', 'pipe', 'pipe'] });
  child.said = '';
  for (const pipe of [child.stdout, child.stderr]) pipe.on('data', data => { child.said += data; });
  children.push(child);
  return child;
}

const freePort = () => new Promise(done => {
  const server = net.createServer().listen(0, '127.0.0.1', () => {
    const { port } = server.address();
    server.close(() => done(port));
  });
});

/** What a foreign page tries, in the browser. Everything that it could read is returned. */
async function attack(target, reset, manager) {
  const got = [];
  const off = '{"ResetType":"ForceOff"}';
  const send = async (url, options) => {
    try {
      const answer = await fetch(target + url, { credentials: 'include', signal: AbortSignal.timeout(5000), ...options });
      if (answer.type !== 'opaque') got.push(`${url}: ${answer.status}`);
    } catch { /* the browser does not show it */ }
  };
  for (const url of [reset, manager]) {
    await send(url, { method: 'POST', mode: 'no-cors' });
    await send(url, { method: 'POST', mode: 'no-cors', body: off });
    await send(url, { method: 'POST', mode: 'no-cors', body: new URLSearchParams({ ResetType: 'ForceOff' }) });
    await send(url, { method: 'POST', mode: 'cors', body: off, headers: { 'Content-Type': 'application/json' } });
    navigator.sendBeacon(target + url, off);
    navigator.sendBeacon(target + url, new Blob([off], { type: 'text/plain' }));
    const frame = document.createElement('iframe');
    frame.name = `frame${url.length}`;
    const form = document.createElement('form');
    Object.assign(form, { action: target + url, method: 'post', enctype: 'text/plain', target: frame.name });
    const field = document.createElement('input');
    Object.assign(field, { name: '{"ResetType":"ForceOff","@x":"', value: '"}' });
    form.append(field);
    document.body.append(frame, form);
    form.submit();
  }
  for (const url of ['/status', '/page/nodes', '/redfish/v1/Systems/node-1', '/page/page.js']) await send(url, { mode: 'cors' });
  const opened = await new Promise(done => {
    const events = new EventSource(`${target}/redfish/v1/EventService/SSE`, { withCredentials: true });
    events.onopen = () => done(true);
    events.onerror = () => { events.close(); done(false); };
    setTimeout(() => done(false), 5000);
  });
  if (opened) got.push('the stream of events');
  await new Promise(done => setTimeout(done, 1500));
  return got;
}

/** What a page whose own name was made to lead here gets: it counts as of the same origin. */
async function rebound(reset) {
  const post = { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '{"ResetType":"ForceOff"}' };
  const statuses = [];
  for (const [url, options] of [['/redfish/v1/Systems/node-1', {}], ['/page/nodes', {}], [reset, post]]) {
    statuses.push((await fetch(url, options)).status);
  }
  return statuses;
}

/** The service's own page, for which the same browser may switch. */
async function own(reset) {
  const post = { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '{"ResetType":"ForceOff"}' };
  return (await fetch(reset, post)).status;
}

class Chromium {
  static async open() {
    const args = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-background-networking', `--host-resolver-rules=MAP ${EVIL} 127.0.0.1`];
    const browser = Object.assign(new Chromium(), { browser: await chromium.launch({ executablePath: '/usr/bin/chromium', args }) });
    browser.page = await (await browser.browser.newContext()).newPage();
    browser.name = `Chromium ${browser.browser.version()}`;
    return browser;
  }
  goto(url) { return this.page.goto(url); }
  run(work, ...given) { return this.page.evaluate(`(${work})(...${JSON.stringify(given)})`); }
  close() { return this.browser.close(); }
}

/** Firefox by Marionette: messages of JSON, each with its length before it. */
class Firefox {
  static async open() {
    const profile = fs.mkdtempSync(path.join(os.tmpdir(), 'plugfish-firefox-'));
    const port = await freePort();
    fs.writeFileSync(path.join(profile, 'user.js'), [
      ['marionette.port', port], ['network.dns.localDomains', EVIL], ['network.http.phishy-userpass-length', 255],
      ['datareporting.policy.dataSubmissionEnabled', false], ['devtools.jsonview.enabled', false], ['app.update.enabled', false], ['network.captive-portal-service.enabled', false],
    ].map(([name, value]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});\n`).join(''));
    const child = start('/usr/bin/firefox-esr', '--marionette', '--headless', '--no-remote', '--profile', profile);
    const firefox = Object.assign(new Firefox(), { child, profile, next: 1, waiting: new Map() });
    firefox.socket = await until(`Firefox is there: ${child.said}`, 60, () => new Promise(done => {
      const socket = net.connect(port, '127.0.0.1', () => done(socket)).on('error', () => done(null));
    }));
    let bytes = Buffer.alloc(0);
    firefox.socket.on('data', data => {
      bytes = Buffer.concat([bytes, data]);
      for (;;) {
        const colon = bytes.indexOf(':');
        const length = Number(bytes.subarray(0, Math.max(colon, 0)));
        if (colon < 0 || bytes.length < colon + 1 + length) return;
        const message = JSON.parse(bytes.subarray(colon + 1, colon + 1 + length));
        bytes = bytes.subarray(colon + 1 + length);
        if (Array.isArray(message)) firefox.waiting.get(message[1])?.(message);
      }
    });
    const session = await firefox.ask('WebDriver:NewSession', {});
    firefox.name = `Firefox ${session.capabilities.browserVersion}`;
    return firefox;
  }
  ask(command, given) {
    const id = this.next++;
    const text = JSON.stringify([0, id, command, given]);
    return new Promise((done, fail) => {
      this.waiting.set(id, ([, , error, result]) => (error ? fail(new Error(`${command}: ${error.message}`)) : done(result)));
      this.socket.write(`${Buffer.byteLength(text)}:${text}`);
    });
  }
  goto(url) { return this.ask('WebDriver:Navigate', { url }); }
  async run(work, ...given) {
    const script = `const done = arguments[arguments.length - 1]; (${work})(...${JSON.stringify(given)}).then(done, error => done(String(error)));`;
    return (await this.ask('WebDriver:ExecuteAsyncScript', { script, args: [], scriptTimeout: 60000 })).value;
  }
  async close() {
    this.socket.destroy();
    this.child.kill('SIGTERM');
    await new Promise(done => this.child.once('exit', done));
    fs.rmSync(this.profile, { recursive: true, force: true });
  }
}

async function serve(folder, plugs, auth) {
  const port = await freePort();
  const home = path.join(folder, auth);
  fs.mkdirSync(home);
  fs.writeFileSync(path.join(home, 'pass'), 'plugfish-demo', { mode: 0o600 });
  fs.writeFileSync(path.join(home, 'nodes.yaml'), `server: { listen: ["127.0.0.1:${port}"], auth: ${auth} }
state_dir: ${home}/state
accounts: [{ username: admin, password: { file: pass }, role: Administrator }]
defaults: { tapo: { username: owner@example.com, password: { file: pass } }, poll_interval: 5s }
nodes: [{ id: node-1, tapo: { address: "${plugs[auth === 'none' ? 0 : 1].address}" } }]
`);
  const url = `http://127.0.0.1:${port}`;
  const child = start(PLUGFISH, 'serve', '--config', path.join(home, 'nodes.yaml'));
  await until('the daemon is ready', 20, async () => {
    assert.equal(child.exitCode, null, child.said);
    return fetch(`${url}/readyz`).then(answer => answer.ok, () => false);
  });
  return url;
}

const LOGIN = { headers: { Authorization: `Basic ${btoa('admin:plugfish-demo')}` } };
const power = async (url, login) => (await json(`${url}/redfish/v1/Systems/node-1`, login)).PowerState;
/** How often the service did what these actions ask for. */
const done = async url => (await (await fetch(`${url}/metrics`)).text()).split('\n').filter(line => /Actions.*status="2/.test(line)).join('\n');

async function judge(Browser, open, closed) {
  const page = http.createServer((_, answer) => answer.setHeader('Content-Type', 'text/html').end('<!doctype html><title>x</title><body>')).listen(0, '127.0.0.1');
  await new Promise(ready => page.once('listening', ready));
  const browser = await Browser.open();
  try {
    const before = await done(open);
    // 127.0.0.1 and localhost are two sites, and two ports of 127.0.0.1 two origins of one.
    for (const host of ['localhost', '127.0.0.1']) {
      await browser.goto(`http://${host}:${page.address().port}/`);
      assert.deepEqual(await browser.run(attack, open, RESET, MANAGER), [], `${browser.name} from ${host}`);
    }
    assert.equal(await power(open), 'On', `${browser.name}: without a login`);
    assert.equal(await done(open), before, `${browser.name}: nothing was done`);
    // A person has logged in with Basic, and the browser keeps that.
    await browser.goto(closed.replace('http://', 'http://admin:plugfish-demo@') + '/redfish/v1/Systems/node-1');
    await browser.goto(`${closed}/redfish/v1/Systems/node-1`);
    await browser.goto(`http://localhost:${page.address().port}/`);
    assert.deepEqual(await browser.run(attack, closed, RESET, MANAGER), [], `${browser.name} with kept credentials`);
    assert.equal(await power(closed, LOGIN), 'On', `${browser.name}: kept credentials`);
    assert.equal(await done(closed), '', `${browser.name}: nothing was done with kept credentials`);
    await browser.goto(open.replace('127.0.0.1', EVIL));
    assert.deepEqual(await browser.run(rebound, RESET), [403, 403, 403], `${browser.name}: rebinding`);
    assert.equal(await power(open), 'On');
    await browser.goto(`${open}/`);
    assert.equal(await browser.run(own, RESET), 204, `${browser.name}: the service's own page`);
    await until('off', 20, async () => (await power(open)) === 'Off');
    const on = { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '{"ResetType":"On"}' };
    assert.equal((await fetch(open + RESET, on)).status, 204);
    await until('on', 20, async () => (await power(open)) === 'On');
    console.log(`a foreign page gets nothing: ${browser.name}`);
  } finally {
    await browser.close();
    page.close();
  }
}

async function main(folder) {
  const sim = start(PLUGFISH, 'sim', '--tapo', '2', '--base', '127.46.0.1', '--control', '127.0.0.1:0');
  const control = await until('the rack is there', 20, () => sim.said.match(/http:\/\/[0-9.:]+(?=\/plugs)/)?.[0]);
  const plugs = await json(`${control}/plugs`);
  const [open, closed] = [await serve(folder, plugs, 'none'), await serve(folder, plugs, 'required')];
  await until('first contact', 20, async () => (await power(open)) === 'On' && (await power(closed, LOGIN)) === 'On');
  await pause(1000);
  for (const Browser of [Chromium, Firefox]) await judge(Browser, open, closed);
}

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'plugfish-foreign-'));
main(folder).catch(error => {
  console.error(error);
  process.exitCode = 1;
}).finally(async () => {
  for (const child of children.reverse()) child.kill('SIGTERM');
  await pause(1500);
  for (const child of children) child.kill('SIGKILL');
  fs.rmSync(folder, { recursive: true, force: true });
});
