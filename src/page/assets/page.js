// The status page: a Redfish client. It logs in, reads, switches and listens at the URLs that every other client uses, and
// reads one document beside them, /page/nodes. Text from the service only ever becomes text.

const SESSIONS = '/redfish/v1/SessionService/Sessions';
const STREAM = '/redfish/v1/EventService/SSE';
const NODES = '/page/nodes';
/** How often everything is read when nothing happens: watts and ages are not told by events. */
const READ_EVERY = 5000;
/** Events come in groups; one read serves a group. */
const GATHER = 150;
const ANSWER_LIMIT = 10000;
/** The stream says "still here" every 15 s; one that is silent for longer than this is dead. */
const SILENCE_LIMIT = 40000;
const RETRY_FIRST = 1000;
const RETRY_LONGEST = 15000;
const CURVE_MAX = 120;
/** A curve is at least this wide, in seconds. */
const CURVE_SPAN = 120;
const NEWS_MAX = 40;

const $ = id => document.getElementById(id);
const root = document.documentElement;
const wantsLogin = root.dataset.login === 'wanted';
const byName = new Intl.Collator('en', { numeric: true });

/** An element with properties, attributes (from `$`) and children. */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith('$')) element.setAttribute(name.slice(1), value);
    else element[name] = value;
  }
  element.append(...children);
  return element;
}

/** Writes only what differs, so that nothing is formatted differently for nothing. */
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function mark(element, name, value) {
  if (value === undefined || value === null || value === false) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

const pause = time => new Promise(done => setTimeout(done, time));
const spread = time => time * (0.8 + 0.4 * Math.random());
const say = text => { $('said').textContent = text; };

// ---- Words ---------------------------------------------------------------------------------------------------------

/** What can be asked for: what its button says, what is said while it is not seen yet, what it does, and whether it harms. */
const RESETS = {
  On: { title: 'Turn on', busy: 'turning on', what: 'The machine gets power and starts.' },
  ForceOn: { title: 'Turn on', busy: 'turning on', what: 'The machine gets power and starts.' },
  GracefulShutdown: {
    title: 'Shut down', busy: 'shutting down', harms: true,
    what: 'The operating system is asked to shut down, and takes the time that it needs.',
  },
  ForceOff: {
    title: 'Turn off', busy: 'turning off', harms: true,
    what: 'The power is cut at once. The operating system is not asked, and what it has not written down is lost.',
  },
  GracefulRestart: { title: 'Restart', busy: 'restarting', harms: true, what: 'The operating system is asked to restart.' },
  ForceRestart: {
    title: 'Force restart', busy: 'restarting', harms: true,
    what: 'The machine starts again at once. The operating system is not asked, and what it has not written down is lost.',
  },
  PowerCycle: {
    title: 'Power cycle', busy: 'power cycling', harms: true,
    what: 'The power is cut at once and comes back a few seconds later. What the operating system has not written down is lost.',
  },
  Nmi: {
    title: 'Send NMI', busy: 'sending an interrupt', harms: true,
    what: 'The machine gets a diagnostic interrupt, after which most operating systems write a dump and stop.',
  },
};

const watts = number => `${number >= 100 ? Math.round(number) : number.toFixed(1)} W`;

function span(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 90) return `${s} s`;
  if (s < 90 * 60) return `${Math.round(s / 60)} min`;
  if (s < 36 * 3600) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86400)} days`;
}

const whole = at => new Date(at).toLocaleString();
/** The time of day, with the date where it is another one. */
const short = at => (new Date(at).toDateString() === new Date().toDateString() ? new Date(at).toLocaleTimeString() : whole(at));
/** The service's wall clock, now. */
const serviceNow = () => Date.now() + state.skew;

function powerWords(node) {
  const power = node.power ?? 'Unknown';
  if (node.command) return `${power}, ${(RESETS[node.command.reset] ?? { busy: node.command.reset }).busy}…`;
  // A machine that is off with its outlet on was not switched off here: say what tells it.
  const told = node.power === 'Off' && node.outlet_on ? ', outlet on' : '';
  return node.away && node.power ? `Last known: ${power}${told}` : `${power}${told}`;
}

const moodOf = node => ({ Critical: 'bad', Warning: 'warn' })[node.health] ?? (node.power === null && !node.up ? 'warn' : null);
const ageOf = node => (node.age_ms === null ? null : node.age_ms + performance.now() - node.read);
const seenWords = node => {
  const age = ageOf(node);
  if (age === null) return 'never seen yet';
  return `${node.up ? 'seen' : 'last seen'} ${span(age)} ago`;
};

// ---- Talking to the service ----------------------------------------------------------------------------------------

const session = {
  get: () => JSON.parse(sessionStorage.getItem('plugfish.session') ?? 'null'),
  set: value => sessionStorage.setItem('plugfish.session', JSON.stringify(value)),
  forget: () => sessionStorage.removeItem('plugfish.session'),
};

/** What the service said, in words. `status` is 0 where no one answered. */
class Refusal extends Error {
  constructor(status, words, info) {
    super(words);
    Object.assign(this, { status, info });
  }
}

function headers(more = {}) {
  const token = session.get()?.token;
  return token ? { 'X-Auth-Token': token, ...more } : more;
}

/** One request. `credentials: omit` keeps the browser from asking for a password in a window of its own. */
async function ask(method, url, body, signal = AbortSignal.timeout(ANSWER_LIMIT)) {
  let answer;
  try {
    answer = await fetch(url, {
      method, signal, credentials: 'omit', cache: 'no-store',
      headers: headers(body ? { 'Content-Type': 'application/json' } : {}),
      body: body && JSON.stringify(body),
    });
  } catch {
    throw new Refusal(0, 'plugfish does not answer.');
  }
  if (answer.ok) return answer;
  const said = await answer.json().catch(() => null);
  const info = said?.error?.['@Message.ExtendedInfo'] ?? [];
  const [first] = info;
  const words = !first ? `plugfish answered ${answer.status}.`
    : first.Resolution && first.Resolution !== 'None.' ? `${first.Message} ${first.Resolution}` : first.Message;
  throw new Refusal(answer.status, words, info);
}

const mustRenew = info => (info ?? []).find(message => message.MessageId?.endsWith('.PasswordChangeRequired'))?.MessageArgs?.[0];

// ---- Logging in ----------------------------------------------------------------------------------------------------

function show(view) {
  root.dataset.view = view;
  $('login').hidden = view !== 'login';
  $('status').hidden = view !== 'status';
}

function wantLogin(why = '') {
  stop();
  session.forget();
  for (const dialog of document.querySelectorAll('dialog[open]')) dialog.close();
  forgetNodes();
  $('who').hidden = $('log-out').hidden = true;
  $('renew-form').hidden = true;
  $('login-form').hidden = false;
  $('login-why').hidden = !why;
  write($('login-why'), why);
  write($('login-error'), '');
  show('login');
  $('user').focus();
}

/** Runs what a form is for, with its button disabled and its words in the right place. */
function form(id, error, work) {
  $(id).addEventListener('submit', async event => {
    event.preventDefault();
    const button = $(id).querySelector('[type=submit]');
    if (button.disabled) return;
    button.disabled = true;
    write($(error), '');
    try {
      await work();
    } catch (refusal) {
      write($(error), refusal.message);
    } finally {
      button.disabled = false;
    }
  });
}

async function logIn(name, password) {
  session.forget();
  let answer;
  try {
    answer = await ask('POST', SESSIONS, { UserName: name, Password: password });
  } catch (refusal) {
    $('password').select();
    throw refusal.status === 401 ? new Refusal(401, 'Wrong user name or password.') : refusal;
  }
  const body = await answer.json();
  session.set({ token: answer.headers.get('X-Auth-Token'), uri: body['@odata.id'], name });
  return mustRenew(body['@Message.ExtendedInfo']);
}

form('login-form', 'login-error', async () => {
  const account = await logIn($('user').value, $('password').value);
  $('password').value = '';
  if (account) wantNewPassword(account);
  else start();
});

function wantNewPassword(account) {
  stop();
  $('renew-form').dataset.account = account;
  $('renew-user').value = session.get()?.name ?? '';
  $('login-form').hidden = true;
  $('renew-form').hidden = false;
  show('login');
  $('new-password').focus();
}

form('renew-form', 'renew-error', async () => {
  const [one, two] = [$('new-password').value, $('new-password-2').value];
  if (one !== two) throw new Refusal(0, 'The two are not the same.');
  const name = session.get()?.name;
  await ask('PATCH', $('renew-form').dataset.account, { Password: one });
  $('new-password').value = $('new-password-2').value = '';
  await logIn(name, one);
  start();
});

$('log-out').addEventListener('click', async () => {
  const uri = session.get()?.uri;
  stop();
  try {
    if (uri) await ask('DELETE', uri);
    wantLogin('You are logged out.');
  } catch {
    wantLogin('plugfish did not answer; the session ends there by itself.');
  }
});

// ---- Reading -------------------------------------------------------------------------------------------------------

const state = {
  nodes: new Map(), cursor: null, skew: 0, clock: 0, clockRead: 0, maySwitch: false,
  running: null, live: false, lost: false, lastEvent: null, filter: '', show: 'all', detail: null, news: 0,
};

function forgetNodes() {
  Object.assign(state, { nodes: new Map(), cursor: null, news: 0, lost: false });
  $('nodes').replaceChildren();
  $('news').replaceChildren();
}

/** Ends the pause before the next read. */
let readSoon = () => {};

function start() {
  stop();
  show('status');
  const running = new AbortController();
  state.running = running;
  read(running.signal);
  listen(running.signal);
}

function stop() {
  state.running?.abort();
  state.running = null;
  state.live = false;
  readSoon(0);
}

/** Reads again and again, at once where something has happened. */
async function read(signal) {
  let retry = RETRY_FIRST;
  while (!signal.aborted) {
    let wait = READ_EVERY;
    try {
      await readOnce(signal);
      retry = RETRY_FIRST;
    } catch (refusal) {
      if (signal.aborted) return;
      const account = mustRenew(refusal.info);
      if (refusal.status === 401) return wantLogin(session.get() ? 'Your session has ended.' : '');
      if (refusal.status === 403 && account) return wantNewPassword(account);
      lose(refusal);
      wait = spread(retry);
      retry = Math.min(retry * 2, RETRY_LONGEST);
    }
    await new Promise(done => {
      const alarm = setTimeout(done, wait);
      readSoon = (gather = GATHER) => {
        clearTimeout(alarm);
        setTimeout(done, gather);
      };
    });
  }
}

async function readOnce(signal) {
  const query = state.cursor ? `?after=${state.cursor}` : '';
  const limit = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_LIMIT)]);
  const found = await (await ask('GET', NODES + query, null, limit)).json();
  if (signal.aborted) return;
  if (!found.whole && take(found) !== found.total) {
    // A node was taken away: ask for all of them.
    state.cursor = null;
    return readOnce(signal);
  }
  if (found.whole) takeAll(found);
  state.lost = false;
  state.answered = performance.now();
  $('lost').hidden = true;
  showLink();
}

function take(found) {
  state.cursor = found.cursor;
  state.skew = found.now - Date.now();
  state.clock = found.clock;
  state.clockRead = performance.now();
  state.maySwitch = found.caller.may_switch;
  const fresh = [];
  for (const node of found.nodes) {
    const known = state.nodes.get(node.id);
    node.read = state.clockRead;
    if (known) {
      const last = known.node.draw.at(-1)?.[0] ?? -1;
      if (!found.whole) node.draw = [...known.node.draw, ...node.draw.filter(([at]) => at > last)].slice(-CURVE_MAX);
      known.node = node;
      paint(known);
    } else {
      const card = makeCard(node);
      state.nodes.set(node.id, card);
      fresh.push(card);
      paint(card);
    }
  }
  if (fresh.length) place(fresh);
  showWho(found);
  showNews(found.nodes, found.whole);
  showTotals();
  if (state.detail) showDetail();
  return state.nodes.size;
}

function takeAll(found) {
  const there = new Set(found.nodes.map(node => node.id));
  for (const [id, card] of state.nodes) {
    if (!there.has(id)) {
      card.item.remove();
      state.nodes.delete(id);
    }
  }
  take(found);
}

function lose(refusal) {
  state.lost = true;
  state.lostWhy = refusal.status ? refusal.message : 'There is no connection to plugfish.';
  showLink();
  tick();
}

// ---- Listening -----------------------------------------------------------------------------------------------------

/** Keeps the stream of events open; each event makes the page read at once. EventSource cannot send the session's token. */
async function listen(signal) {
  let retry = RETRY_FIRST;
  while (!signal.aborted) {
    try {
      await hear(signal, () => { retry = RETRY_FIRST; });
    } catch (refusal) {
      if (signal.aborted) return;
      if (refusal.status === 401 || refusal.status === 403) return readSoon();
    }
    state.live = false;
    showLink();
    await pause(spread(retry));
    retry = Math.min(retry * 2, RETRY_LONGEST);
  }
}

async function hear(signal, opened) {
  const silence = new AbortController();
  let alarm = setTimeout(() => silence.abort(), ANSWER_LIMIT);
  const either = AbortSignal.any([signal, silence.signal]);
  try {
    const more = { Accept: 'text/event-stream' };
    if (state.lastEvent) more['Last-Event-ID'] = state.lastEvent;
    const answer = await fetch(STREAM, { headers: headers(more), signal: either, credentials: 'omit', cache: 'no-store' });
    if (!answer.ok) throw new Refusal(answer.status, '');
    opened();
    state.live = true;
    showLink();
    readSoon();
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(alarm);
      alarm = setTimeout(() => silence.abort(), SILENCE_LIMIT);
      const blocks = (text + value).split('\n\n');
      text = blocks.pop();
      blocks.forEach(event);
    }
  } finally {
    clearTimeout(alarm);
  }
}

function event(block) {
  const lines = block.split('\n').map(line => line.match(/^(id|data): ?(.*)$/)).filter(Boolean);
  const id = lines.find(([, name]) => name === 'id')?.[2];
  if (id) state.lastEvent = id;
  if (lines.some(([, name]) => name === 'data')) readSoon();
}

function showLink() {
  const link = state.lost ? 'lost' : state.live ? 'live' : 'polling';
  $('link').dataset.link = link;
  write($('link-words'), { lost: 'No connection', live: 'Live', polling: `Read every ${READ_EVERY / 1000} s` }[link]);
}

// A page that no one looks at neither reads nor holds one of the service's streams.
document.addEventListener('visibilitychange', () => {
  if (root.dataset.view !== 'status') return;
  if (document.hidden) stop();
  else if (!state.running) start();
});

// ---- Cards ---------------------------------------------------------------------------------------------------------

const SVG = 'http://www.w3.org/2000/svg';

function makeCurve() {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 100 100');
  svg.setAttribute('preserveAspectRatio', 'none');
  svg.setAttribute('role', 'img');
  const paths = ['area', 'line'].map(kind => {
    const path = document.createElementNS(SVG, 'path');
    path.setAttribute('class', kind);
    return path;
  });
  svg.append(...paths);
  return { svg, area: paths[0], line: paths[1] };
}

/** Draws the last minutes, with a gap where the device did not tell. Says in words what is to be seen. */
function drawCurve(curve, draw) {
  const now = state.clock;
  const width = Math.max(CURVE_SPAN, now - (draw[0]?.[0] ?? now));
  const top = Math.max(1, ...draw.map(([, w]) => w)) * 1.1;
  const steps = draw.slice(1).map(([at], index) => at - draw[index][0]).sort((a, b) => a - b);
  const gap = Math.max(3 * (steps[steps.length >> 1] ?? 0), 20);
  let [line, area, first, last] = ['', '', null, null];
  const close = () => { if (last !== null) area += `L${last} 100L${first} 100Z`; };
  draw.forEach(([at, w], index) => {
    const [x, y] = [(100 - ((now - at) / width) * 100).toFixed(2), (100 - (w / top) * 96).toFixed(2)];
    const jump = index === 0 || at - draw[index - 1][0] > gap;
    if (jump) {
      close();
      first = x;
    }
    // A point of its own is seen as one.
    line += `${jump ? 'M' : 'L'}${x} ${y}${jump ? 'h0' : ''}`;
    area += `${jump ? 'M' : 'L'}${x} ${y}`;
    last = x;
  });
  close();
  curve.line.setAttribute('d', line);
  curve.area.setAttribute('d', area);
  const all = draw.map(([, w]) => w);
  const words = all.length
    ? `${watts(Math.min(...all))} to ${watts(Math.max(...all))} over the last ${span(width * 1000)}` : 'nothing measured yet';
  curve.svg.setAttribute('aria-label', `Draw: ${words}`);
  return words;
}

function makeCard(node) {
  const parts = {
    title: make('h3', { textContent: node.id }), machine: make('p', { className: 'machine' }), badge: make('span', { className: 'badge' }),
    figure: make('b'), unit: make('small'), curveBox: make('div', { className: 'curve' }), note: make('p', { className: 'note' }),
    seen: make('span', { className: 'seen' }), quick: make('button', { type: 'button', hidden: true }),
    more: make('button', { type: 'button', textContent: 'Details', '$aria-label': `Details of ${node.id}`, '$aria-haspopup': 'dialog' }),
  };
  const curve = makeCurve();
  parts.curveBox.append(curve.svg);
  const box = make('div', { className: 'draw' }, make('p', {}, parts.figure, ' ', parts.unit), parts.curveBox);
  const actions = make('div', { className: 'actions' }, parts.quick, parts.more);
  const article = make('article', { className: 'card' },
    make('header', {}, make('div', {}, parts.title, parts.badge), make('div', {}, parts.machine, parts.seen)), box, parts.note, make('footer', {}, actions));
  const card = { id: node.id, node, item: make('li', {}, article), article, box, curve, ...parts };
  parts.more.addEventListener('click', () => openDetail(card.id));
  parts.quick.addEventListener('click', () => confirm(card.node, card.quick.dataset.reset));
  return card;
}

/** The one thing that is most likely wanted next. */
function quickReset(node) {
  const wanted = node.power === 'On' ? ['GracefulShutdown', 'ForceOff'] : node.power ? ['On', 'ForceOn'] : [];
  return wanted.find(reset => node.resets.includes(reset));
}

function noteOf(node) {
  const [worst] = node.conditions;
  if (worst) return [worst.text, worst.severity === 'Critical' ? 'bad' : 'warn'];
  if (!node.up && node.power === null) return ['waiting for the first answer of the device', null];
  const [last] = node.events;
  return last ? [`${last.text} · ${span(serviceNow() - last.at)} ago`, last.tone] : ['', null];
}

function paint(card) {
  const { node } = card;
  write(card.machine, node.machine ?? node.about ?? node.device);
  write(card.badge, powerWords(node));
  mark(card.badge, 'data-power', node.power ?? 'Unknown');
  mark(card.badge, 'data-busy', node.command ? '' : null);
  mark(card.badge, 'data-away', node.away ? '' : null);
  mark(card.article, 'data-power', node.power ?? 'Unknown');
  mark(card.article, 'data-mood', moodOf(node));
  const metered = node.watts !== null || node.draw.length > 0;
  card.box.className = metered ? 'draw' : 'draw none';
  card.curveBox.hidden = !metered;
  if (metered) {
    write(card.figure, node.watts === null ? '–' : watts(node.watts).slice(0, -2));
    write(card.unit, 'W');
    drawCurve(card.curve, node.draw);
  }
  const quick = state.maySwitch ? quickReset(node) : null;
  card.quick.hidden = !quick;
  if (quick) {
    const title = node.power === 'Asleep' ? 'Wake up' : RESETS[quick].title;
    card.quick.dataset.reset = quick;
    write(card.quick, title);
    mark(card.quick, 'aria-label', `${title} ${node.id}`);
  }
  paintTimes(card);
  sift(card);
}

function paintTimes(card) {
  const { node } = card;
  const [note, tone] = noteOf(node);
  write(card.note, note);
  mark(card.note, 'data-tone', tone);
  write(card.seen, seenWords(node));
  if (card.box.classList.contains('none')) {
    write(card.figure, node.up && node.since !== null ? span(serviceNow() - node.since) : '–');
    write(card.unit, node.up && node.power ? `${node.power.toLowerCase()}, no meter` : 'no meter');
  }
  mark(card.seen, 'data-old', node.up || node.power === null ? null : '');
}

/** Puts new cards where their names belong. */
function place(fresh) {
  const list = $('nodes');
  if (list.childElementCount === 0) {
    fresh.sort((a, b) => byName.compare(a.id, b.id));
    list.append(...fresh.map(card => card.item));
    return;
  }
  for (const card of fresh) {
    const next = [...list.children].find(item => byName.compare(item.querySelector('h3').textContent, card.id) > 0);
    list.insertBefore(card.item, next ?? null);
  }
}

// ---- Which nodes are shown -----------------------------------------------------------------------------------------

const SHOWS = {
  all: () => true,
  on: node => node.power === 'On' || node.power === 'Asleep',
  off: node => node.power === 'Off',
  trouble: node => moodOf(node) !== null,
};

function sift(card) {
  const { node } = card;
  const text = `${node.id} ${node.machine ?? ''} ${node.device} ${node.about ?? ''}`.toLowerCase();
  card.item.hidden = !(SHOWS[state.show](node) && state.filter.split(/\s+/).every(word => text.includes(word)));
}

function siftAll() {
  for (const card of state.nodes.values()) sift(card);
  showTotals();
}

function showTotals() {
  const cards = [...state.nodes.values()];
  for (const button of $('shown').querySelectorAll('button')) {
    const count = cards.filter(card => SHOWS[button.dataset.show](card.node)).length;
    write(button.querySelector('b'), String(count));
    button.classList.toggle('some', count > 0);
    mark(button, 'aria-pressed', state.show === button.dataset.show);
  }
  const metered = cards.filter(card => card.node.watts !== null);
  write($('total-watts'), metered.length ? watts(metered.reduce((sum, card) => sum + card.node.watts, 0)) : '–');
  const none = cards.every(card => card.item.hidden);
  $('none').hidden = !none;
  write($('none'), cards.length ? 'No node is like this.' : 'There are no nodes in the configuration yet.');
  write($('about'), state.about ?? '');
}

$('filter').addEventListener('input', () => {
  state.filter = $('filter').value.trim().toLowerCase();
  siftAll();
});
$('shown').addEventListener('click', click => {
  const button = click.target.closest('button');
  if (!button) return;
  state.show = button.dataset.show;
  siftAll();
});

// ---- News ----------------------------------------------------------------------------------------------------------

function newsItem(event, id) {
  const words = id ? [make('b', { textContent: id }), ` ${event.text}`] : [event.text];
  const time = make('time', { dateTime: new Date(event.at).toISOString(), title: whole(event.at), textContent: short(event.at) });
  return make('li', { '$data-tone': event.tone }, ...words, time);
}

function showNews(nodes, all) {
  const news = nodes.flatMap(node => node.events.map(event => ({ ...event, id: node.id })));
  const fresh = news.filter(event => all || event.number > state.news).sort((a, b) => a.number - b.number).slice(-NEWS_MAX);
  // Numbers begin again when the service does.
  state.news = fresh.at(-1)?.number ?? (all ? 0 : state.news);
  if (!all) {
    const loud = fresh.filter(event => event.tone !== 'plain' || event.text.startsWith('is '));
    if (loud.length) say(loud.slice(-3).map(event => `${event.id} ${event.text}`).join('; '));
  }
  const items = fresh.reverse().map(event => newsItem(event, event.id));
  if (all) $('news').replaceChildren(...items);
  else $('news').prepend(...items);
  while ($('news').childElementCount > NEWS_MAX) $('news').lastElementChild.remove();
}

function showWho(found) {
  $('who').hidden = !wantsLogin;
  $('log-out').hidden = !wantsLogin;
  write($('who'), `${found.caller.name} · ${found.caller.role}`);
  $('config').hidden = found.notes.length === 0;
  write($('config'), found.notes.join('\n'));
  state.about = `plugfish ${found.version}`;
}

// ---- Details -------------------------------------------------------------------------------------------------------

const detailCurve = makeCurve();
$('detail-curve').append(detailCurve.svg);

function openDetail(id) {
  state.detail = id;
  $('detail-actions').replaceChildren();
  showDetail();
  $('detail').showModal();
}

function showDetail() {
  const node = state.nodes.get(state.detail)?.node;
  if (!node) return $('detail').close();
  write($('detail-title'), node.id);
  const since = node.since === null ? '' : ` for ${span(serviceNow() - node.since)}`;
  write($('detail-state'), `${powerWords(node)}${node.command ? '' : since} · ${seenWords(node)}`);
  $('detail-troubles').replaceChildren(...node.conditions.map(one => make('p', {
    className: 'trouble', '$data-tone': one.severity === 'Critical' ? 'bad' : 'warn', textContent: `${one.text} (since ${whole(one.at)})`,
  })));
  const metered = node.draw.length > 0;
  $('detail').querySelector('figure').hidden = !metered;
  if (metered) {
    const now = node.watts === null ? 'not measured now' : `${watts(node.watts)} now`;
    write($('detail-curve-words'), `${now}; ${drawCurve(detailCurve, node.draw)}`);
  }
  showActions(node);
  const facts = [
    ['Machine', node.machine], ['Device', node.device], ['It says', node.about], ['Next boot', node.boot],
    ['Energy measured', node.energy_wh === null ? null : `${(node.energy_wh / 1000).toFixed(2)} kWh`],
    ['Command', node.command && `${node.command.reset}, asked for by ${node.command.by} at ${whole(node.command.at)}`],
    ['Redfish', node.system],
  ].filter(([, value]) => value);
  const shown = facts.flat().join('\n');
  if ($('detail-facts').dataset.shown !== shown) {
    $('detail-facts').dataset.shown = shown;
    $('detail-facts').replaceChildren(...facts.flatMap(([name, value]) =>
      [make('dt', { textContent: name }), make('dd', { textContent: value })]));
  }
  $('detail-events').replaceChildren(...(node.events.length ? node.events.map(event => newsItem(event)) : [make('li', { textContent: 'nothing yet' })]));
}

/** Buttons are kept as long as the node offers the same, so that the keyboard does not lose its place. */
function showActions(node) {
  const box = $('detail-actions');
  const offers = state.maySwitch ? node.resets.filter(reset => RESETS[reset] && !(reset === 'ForceOn' && node.resets.includes('On'))) : [];
  box.hidden = offers.length === 0;
  if (box.dataset.offers === offers.join() && box.childElementCount) return;
  box.dataset.offers = offers.join();
  box.replaceChildren(...offers.map(reset => {
    const button = make('button', { type: 'button', textContent: RESETS[reset].title });
    button.addEventListener('click', () => confirm(state.nodes.get(state.detail).node, reset));
    return button;
  }));
}

$('detail').addEventListener('close', () => { state.detail = null; });
$('detail-close').addEventListener('click', () => $('detail').close());

// ---- Switching -----------------------------------------------------------------------------------------------------

let asked = null;

function confirm(node, reset) {
  const { title, what, harms } = RESETS[reset];
  asked = { node, reset };
  write($('confirm-title'), `${title} ${node.id}?`);
  const now = node.power ? ` It is ${node.power.toLowerCase()} now${node.away ? ', as far as is known' : ''}.` : '';
  write($('confirm-words'), what + now);
  write($('confirm-error'), '');
  write($('confirm-yes'), `${title} ${node.id}`);
  $('confirm-yes').className = harms ? 'danger' : 'strong';
  $('confirm-yes').disabled = false;
  $('confirm').showModal();
  (harms ? $('confirm-no') : $('confirm-yes')).focus();
}

$('confirm-no').addEventListener('click', () => $('confirm').close());
$('confirm-yes').addEventListener('click', async () => {
  const { node, reset } = asked;
  $('confirm-yes').disabled = true;
  write($('confirm-error'), '');
  try {
    // What the node offers at this moment, and where.
    const system = await (await ask('GET', node.system)).json();
    const action = system.Actions['#ComputerSystem.Reset'];
    if (!action['ResetType@Redfish.AllowableValues'].includes(reset)) {
      throw new Refusal(0, `${node.id} does not offer this any more.`);
    }
    await ask('POST', action.target, { ResetType: reset });
    say(`${RESETS[reset].title} ${node.id}: accepted`);
    $('confirm').close();
    readSoon();
  } catch (refusal) {
    if (refusal.status === 401) return readSoon();
    write($('confirm-error'), refusal.message);
    $('confirm-yes').disabled = false;
  }
});

// ---- Time and looks ------------------------------------------------------------------------------------------------

function tick() {
  if (root.dataset.view !== 'status' || document.hidden) return;
  for (const card of state.nodes.values()) if (!card.item.hidden) paintTimes(card);
  if (state.lost) {
    const age = state.answered ? ` What you see is ${span(performance.now() - state.answered)} old.` : '';
    $('lost').hidden = false;
    write($('lost'), `${state.lostWhy}${age} Trying again by itself.`);
  }
}
setInterval(tick, 1000);

const THEMES = ['auto', 'light', 'dark'];

function setTheme(theme) {
  if (theme === 'auto') delete root.dataset.theme;
  else root.dataset.theme = theme;
  write($('theme-words'), theme);
  mark($('theme'), 'aria-label', `Theme: ${theme}`);
}

$('theme').addEventListener('click', () => {
  const next = THEMES[(THEMES.indexOf(root.dataset.theme ?? 'auto') + 1) % THEMES.length];
  localStorage.setItem('plugfish.theme', next);
  setTheme(next);
});
setTheme(THEMES.find(theme => theme === localStorage.getItem('plugfish.theme')) ?? 'auto');

if (wantsLogin && !session.get()) wantLogin();
else start();
