//! plugfish gives machines without a BMC a Redfish BMC.
//!
//! Every physical **node** has one **device** that switches its power: a TP-Link Tapo smart plug, an outlet of a strip, or
//! the Intel AMT engine in the machine itself. One actor per node owns that device: it alone talks to it, one request at a
//! time, at a pace the device can bear. Redfish clients (Ironic, Metal3, people, Prometheus) are answered from memory. **A
//! client's request never becomes a device request**, except a command, and a command is written down before it is
//! acknowledged.
//!
//! # Rooms, and who may know whom
//!
//! ```text
//! main -> cli -> daemon -> page -> redfish -> http -> node <- driver <- { tapo, amt }
//!         |         |-> config                         ^        ^
//!         |         \-> store  ------------------------/        |  (same wire, no shared code)
//!         \-> sim  . . . . . . . . . . . . . . . . . . . . . . ./
//! clock, durable, telemetry, account, recorder, files, text: leaves.
//! ```
//!
//! | room | its job |
//! | --- | --- |
//! | [`cli`] | what can be typed and what it does: `demo`, `check`, `discover`, the clients of a running daemon, `export`, `restore`, files into files |
//! | [`daemon`] | the composition root: starts everything in order, ends it in order, reloads |
//! | [`config`] | nodes.yaml: all problems at once, with path and line; secrets; what needs a restart |
//! | [`node`] | **the core**: the machine with every rule about power, the actor around it, the fleet, views, events |
//! | [`driver`] | devices: negotiation, login, requests, diagnosis. `driver/mod.rs` is the only list of them |
//! | [`store`] | what survives a power cut: intents, boot overrides, what devices proved, accounts, sessions. sled with a belt |
//! | [`redfish`] | the service: the sitemap, one file per DMTF schema, error bodies from the message registries |
//! | [`http`] | listeners, TLS, who is asking, `/metrics`, `/healthz`, `/readyz` |
//! | [`page`] | the status page at `/`: a Redfish client in the browser, and one document of its own |
//! | [`sim`] | a rack of simulated plugs and AMT machines on real sockets, written apart from the drivers |
//! | [`clock`] | time and chance; nobody else reads a clock or draws a random number |
//! | [`telemetry`] | logs and the registry of metrics |
//! | [`recorder`] | the flight recorder: the last exchanges with each device, without secrets |
//! | [`files`] | opening files so that nothing hangs and no link leads a write elsewhere |
//! | [`text`] | making text of devices and daemons harmless for terminals and logs |
//! | [`durable`] | how a durable write ends: one future and one error for every room that keeps something |
//! | [`account`] | the words about accounts and sessions that `config`, `http` and `store` share |
//!
//! What is *not* there holds the house together, and `tests/tidy.rs` checks it: `node` knows no HTTP, no bytes of a device
//! protocol, no files and no formats; `redfish` and `http` know no driver and no store; `driver` and `sim` do not know each
//! other; sled stands in one file, the YAML parser in one file.
//!
//! # What happens
//!
//! - **A read**: a worker thread asks [`http::auth`] who it is (a table, or a remembered verdict), finds the route in
//!   [`redfish::SITEMAP`], the node in the fleet's published table, and answers from its current
//!   [`NodeView`](node::view::NodeView). No mailbox, no lock across an await, no disk, no device.
//! - **A command**: into the node's bounded mailbox; [`Fsm::step`](node::fsm::Fsm::step) accepts, coalesces,
//!   supersedes or refuses; the intent is made durable; *then* the client is answered; then the device is told, and read back
//!   until it shows what was asked. A cycle records each stage before it takes it, so that a crash between two of them is a
//!   known state that the next start finishes.
//! - **A poll**: on the node's own schedule, spread over the fleet; growing pauses while the device fails; a breaker that
//!   refuses new commands while it is away. A change that nobody here asked for is told as coming from outside.
//! - **A crash**: every node starts as "last known", is served at once, and an unfinished intent is checked against the
//!   device before anything is done. A panic in one actor closes its mailbox for good; its drop guard tells the
//!   [`Supervisor`](node::supervisor::Keeper), which builds it anew from the journal.
//!
//! # Decisions, and their price
//!
//! - **One request at a time and 250 ms of rest after each**, counted from its end: a plug never sees more than four in a
//!   second, whatever the network does to the spacing. Price: a login with its first request takes about a second.
//! - **A connection to a plug is kept for 3 s, not from poll to poll**: a plug bears few, and its buffers would be most of what a
//!   node costs. Price: a TCP handshake for each poll, a quarter more CPU. AMT keeps its own, since TLS is hard work for it.
//! - **A command that asks for the state last seen is checked with a reading** instead of being called done at once: someone
//!   may have pressed the button. Price: one request.
//! - **A node that is being turned on says `Off` until it is read as on** (Redfish would allow `PoweringOn`): Ironic takes
//!   `PoweringOn` for on.
//! - **A machine that sleeps is shown as `On`**, with the state `StandbyOffline`: Ironic takes `Paused` for an error, and a
//!   machine that is said to be off could wake up beside its replacement.
//! - **A command that ends in a boot shows as the state `Starting`** until it is over: not every restart passes through `Off`.
//! - **Drives are shown as one SimpleStorage**, and each with its serial number under the chassis: a Storage would have to name
//!   controllers and volumes, which nobody tells, and Ironic's interoperability profile fails one without them. Price: Ironic's
//!   inspection takes names and sizes from a SimpleStorage, but no serial numbers.
//! - **A processor's threads and a drive's medium and protocol are null where nobody tells them**, instead of being left out: that
//!   profile wants to see them, and null says the same.
//! - **The boot mode is shown although no device sets it**, as the operator says it (`boot_mode`, UEFI without it for AMT), and is
//!   the only allowable value: Ironic would take a node without it for one whose mode can be changed.
//! - **A plug is a rack PDU with outlets**, which is what the schemas have for it, and what it measures are sensors in the chassis
//!   of its node. Outlets are read only: a node is switched through its System, so that there is one way and one log of it.
//! - **The older Power stands beside PowerSubsystem**: Ironic reads watts nowhere else. Price: two warnings for each metered node in
//!   DMTF's validator.
//! - **No LastResetTime**: a restart by the device or by the system itself is seen by nobody.
//! - **Registries are served without the `Severity` that their schema deprecates**; `MessageSeverity` says the same.
//! - **A System is never answered with 304**: its ETag moves only with what a client can write, and so does not speak for
//!   its power state.
//! - **Who is in stays in**: a lock of an account and the throttle of an address keep out new logins, not sessions nor Basic
//!   credentials that were right before; else anybody who knows a name could keep Ironic out. Price: a stolen password works
//!   during the lock for whoever used it before. Both are forgotten at a restart, so that guesses never reach the disk.
//! - **An account may see some of the nodes only**, whatever its role: clients that know one system for each address act on
//!   the first or the last. What it does not see is 404. The limit stands in nodes.yaml alone, and outlives the account's line
//!   there. Price: such an Administrator manages nothing that all nodes share.
//! - **The address with most connections pays for the next one**, with the one that it used least recently, instead of a fixed
//!   share for each address: one client alone may have all, and a proxy that is trusted counts as many. Price: a look at all
//!   connections, some microseconds, for each new one while there is no room.
//! - **What a foreign page asks a browser for is refused, reads included**: Basic credentials and `auth: none` come with it. A
//!   request without `Origin` and `Sec-Fetch-Site` is no browser's. Price: a page behind a proxy that hides `Host` needs HTTPS.
//! - **Large bodies are sent a little at a time, small ones in one piece**: an HTTP library copies what it is given, once for each
//!   reader. Small is what clients read all the time; it is neither copied, compressed nor shared.
//! - **The self-signed certificate is seldom made again**, and keeps its key: clients pin it. Price: a new address of the
//!   machine is not in it until a person asks for that.
//! - **Files are looked at each second instead of listened to**: that sees a link that leads elsewhere (Kubernetes) and a network
//!   file system too, and is the same everywhere. Price: a second or two until a change is taken.
//! - **A certificate from files is not replaced over Redfish**: whoever keeps the files would put the old one back.
//! - **The ETag of a node is a counter**: `If-Match` is checked again by the actor, where the change is made. What nobody
//!   writes to has a digest of its body for an ETag, and is answered with 304.
//! - **A PATCH is done in part** where the rest can never be written (the answer says what was left out); a wrong value stops
//!   all of it, since half of a boot override would boot the wrong thing.
//! - **Queries are answered beside the kept bodies**, from the same resources; `$expand` stops at 1000 of them, at four levels,
//!   and at what the caller may read.
//! - **Rendered bodies are kept per worker until the view is exchanged**: a read costs about what a bare handler costs
//!   (`cargo bench --bench measure -- reads`). Price: some memory, bounded.
//! - **The core speaks of orders, not of relays**: a device says at each reading what it can do now
//!   ([`Abilities`](node::device::Abilities)), and what it cannot is composed of on and off, or not offered. An order that ends
//!   where it began (a restart by the device itself) cannot be verified by a reading: it counts as followed when the device took
//!   it and the node is seen on. When its answer is lost the driver looks for a trace of it, and without one it is sent again.
//!   Price: a machine that leaves no trace may restart twice.
//! - **A boot override of AMT is written right before the order that boots**, since AMT keeps it for one boot, whoever causes that.
//!   Price: a boot that somebody else causes does not use it.
//! - **What a machine says of itself is looked at one corner at a time**, when nothing else is to be done: a command never
//!   waits for an inventory.
//! - **Another machine at a node's address** (by its UUID) is neither believed nor switched.
//! - **Wrong credentials are not tried again for half an hour.** A proof that does not fit is asked for once more (answers
//!   get damaged), and credentials that were right before are given up only at the third call.
//! - **Event ids count on from the wall clock of the start**, so that a client of the stream that comes back after a restart
//!   is told that something is missing. Price: none, with less than a thousand events in a second.
//! - **A certificate of a subscriber is checked only where its client says `VerifyCertificate`**: the schema has it so. The
//!   headers that a client wants to be sent along are never shown; they lie in the state directory as they are.
//! - **A stream of events ends with the session or the account that opened it**, and does not keep the session alive. Price: a client
//!   that only listens logs in again after the timeout. A subscription belongs to its account alone, and outlives sessions.
//! - **Sessions, streams and subscriptions are counted for each account**, and only its own make room: there is no bound over all but
//!   the number of accounts.
//! - **A query that reads all nodes leaves the workers, one at a time**: it takes one core. Price: a second one waits for the first.
//! - **Events reach this machine and its link only for an Administrator**, by number and by name: no list of what is allowed to keep.
//! - **A login is logged by name only where there is an account of that name**, since people type passwords into the wrong field.
//! - **The status page logs in, switches and listens over Redfish, and reads one document beside it** (`/page/nodes`): curves,
//!   ages and the last words of every node would be four reads of each. Price: a format that is nobody's standard, and that
//!   nobody but the page is told to use.
//! - **The TaskService is always empty**: nothing here is a task. A command is answered when it is durable, and its end is an
//!   event.
//! - **systemd's watchdog is fed while the daemon can still do its work**: every actor answers, or is about to be built anew; every
//!   HTTP worker turns. No request to ourselves: it would reach one worker, and none while strangers hold all connections. A
//!   device or a disk that is away does not count, since a restart helps neither.
//! - **Sockets from systemd take the place of `server.listen`**, all of it: two lists would have to agree.
//! - **A configuration without nodes is one**, with a warning: a package starts its service before anybody wrote down a node.
//! - **The flight recorder shows of a device's words only what is known to be harmless**: texts by a list of keys, so that a
//!   field of a firmware to come tells nothing. Price: a new field has to be put on the list before a bug report shows it.
//! - **`/status` and `/trace/{node}` stand beside Redfish**: no schema has the age of a state or an exchange with a device, and
//!   `plugfish status` costs one read however many nodes there are. Price: a shape of our own to keep (`docs/commands.md`).
//! - **`export` and `restore` want the daemon stopped**: the lock of the state directory then says that nobody writes.
//! - **sled is a cache of knowledge that polling rebuilds, plus a few intents**: checksummed, with a manifest, a
//!   `state.json` backup and our own fsync. Price: about 3 MB.
//! - **The database is opened twice at each start**, and what was written between must be there: with one damaged place sled
//!   takes writes, syncs them, and never finds them again. One that does is copied. Price: some tens of milliseconds.

pub mod account;
pub mod cli;
pub mod clock;
pub mod config;
pub mod daemon;
pub mod driver;
pub mod durable;
pub mod files;
pub mod http;
pub mod node;
pub mod page;
pub mod recorder;
pub mod redfish;
pub mod sim;
pub mod store;
pub mod telemetry;
pub mod text;
