// The status page while the daemon stops and starts again, and without a login: on `plugfish serve` with a simulated
// rack that outlives it. Run by tests/foreign/page.
'use strict';
const { spawn } = require('node:child_process');
const fs = require('node:fs');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { assert, json, launch, until, Visitor } = require('./page_browser.js');

const PLUGFISH = path.resolve(process.env.CARGO_TARGET_DIR ?? 'target', 'debug/plugfish');
/** Words that would harm a page that took them for markup. */
const MODEL = '<img src=x onerror=alert(1)>';
const children = [];

function start(...words) {
  const child = spawn(PLUGFISH, words, { stdio: ['ignore', 'pipe', 'pipe'] });
  child.said = '';
  for (const pipe of [child.stdout, child.stderr]) pipe.on('data', data => { child.said += data; });
  children.push(child);
  return child;
}

async function stop(child) {
  const ended = new Promise(done => child.once('exit', done));
  child.kill('SIGTERM');
  await ended;
}

const freePort = () => new Promise(done => {
  const server = net.createServer().listen(0, '127.0.0.1', () => {
    const { port } = server.address();
    server.close(() => done(port));
  });
});

async function rack() {
  const sim = start('sim', '--tapo', '2', '--base', '127.45.0.1', '--control', '127.0.0.1:0');
  const control = await until('the rack is there', 20, () => sim.said.match(/http:\/\/[0-9.:]+(?=\/plugs)/)?.[0]);
  return json(`${control}/plugs`);
}

function configure(folder, port, plugs, auth) {
  const node = (plug, index) => `  - { id: node-${index + 1}, tapo: { address: "${plug.address}" }, inventory: { model: "${MODEL}" } }\n`;
  fs.writeFileSync(path.join(folder, 'nodes.yaml'), `server: { listen: ["127.0.0.1:${port}"], auth: ${auth} }
state_dir: ${folder}/state
accounts:
  - { username: admin, password: { file: pass }, role: Administrator }
defaults:
  tapo: { username: owner@example.com, password: { file: pass } }
  poll_interval: 5s
nodes:
${plugs.map(node).join('')}`);
}

async function serve(folder, url) {
  const child = start('serve', '--config', path.join(folder, 'nodes.yaml'));
  await until(`the daemon is ready: ${child.said}`, 20, async () => {
    assert.equal(child.exitCode, null, child.said);
    return fetch(`${url}/readyz`).then(answer => answer.ok, () => false);
  });
  return child;
}

async function main(folder) {
  fs.writeFileSync(path.join(folder, 'pass'), 'plugfish-demo', { mode: 0o600 });
  const [plugs, port] = [await rack(), await freePort()];
  const url = `http://127.0.0.1:${port}`;
  configure(folder, port, plugs, 'required');
  let daemon = await serve(folder, url);
  const browser = await launch();
  try {
    const visitor = await Visitor.open(browser, url);
    await visitor.logIn('admin', 'plugfish-demo');
    await visitor.badge('node-1', 'On', 20);
    await visitor.badge('node-2', 'On', 20);
    assert.equal(await visitor.card('node-1').locator('.machine').textContent(), MODEL);
    assert.equal(await visitor.page.locator('main img[src=x]').count(), 0);
    visitor.excused = text => /ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED|ERR_EMPTY_RESPONSE|ERR_CONNECTION_RESET|503/.test(text);
    await stop(daemon);
    await until('the loss is told', 15, () => visitor.page.getByText('There is no connection to plugfish.').isVisible());
    await until('with its age', 15, () => visitor.page.getByText(/What you see is \d+ s old/).isVisible());
    await visitor.axe('the loss');
    await visitor.picture('lost');
    daemon = await serve(folder, url);
    await until('live again, without a login', 30, () => visitor.page.getByText('Live', { exact: true }).isVisible());
    await until('nothing is lost any more', 5, async () => !(await visitor.page.locator('#lost').isVisible()));
    visitor.excused = () => false;
    await visitor.page.getByRole('button', { name: 'Turn off node-1' }).click();
    await visitor.page.locator('#confirm-yes').click();
    await visitor.badge('node-1', 'Off', 20);
    await until('what happens after the restart is told', 5, () => visitor.page.locator('#news').getByText('ForceOff asked for by admin').isVisible());
    fs.appendFileSync(path.join(folder, 'nodes.yaml'), 'nonsense: 1\n');
    const banner = visitor.page.locator('#config');
    await until('the bad file is told', 20, async () => /nonsense[^]*stays/.test(await banner.textContent()));
    await visitor.axe('the bad file');
    await visitor.picture('config');
    configure(folder, port, plugs, 'required');
    await until('the good one is taken', 20, async () => !(await banner.isVisible()));
    await visitor.close(['plugfish-demo']);

    await stop(daemon);
    configure(folder, port, plugs, 'none');
    daemon = await serve(folder, url);
    const anyone = await Visitor.open(browser, url);
    await anyone.badge('node-1', 'Off', 20);
    assert.equal(await anyone.page.locator('#login').isVisible(), false);
    assert.equal(await anyone.page.getByRole('button', { name: 'Log out' }).isVisible(), false);
    await anyone.close();
    console.log('the status page survives a restart');
  } finally {
    await browser.close();
  }
}

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'plugfish-page-'));
main(folder).catch(error => {
  console.error(error);
  process.exitCode = 1;
}).finally(async () => {
  for (const child of children) if (child.exitCode === null && child.signalCode === null) await stop(child);
  fs.rmSync(folder, { recursive: true });
});
