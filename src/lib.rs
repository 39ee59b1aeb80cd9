//! plugfish gives machines without a BMC a Redfish BMC.
//!
//! Every physical **node** has one **device** that switches its power: a TP-Link Tapo smart plug, an outlet of a strip, or
//! the Intel AMT engine in the machine itself. One actor per node owns that device: it alone talks to it, one request at a
//! time, within the device's rate limit. Redfish clients (Ironic, Metal3, people, Prometheus) are answered from memory. **A
//! client's request never becomes a device request**, except a command, and a command is durable before it is
//! acknowledged.
//!
//! # Glossary
//!
//! | word | meaning |
//! | --- | --- |
//! | node | one physical machine and what switches its power; an entry of nodes.yaml |
//! | machine | the PC behind a node, never a state machine |
//! | device | what switches the power: a plug, an outlet of a strip, an AMT engine |
//! | driver | the code that speaks one kind of device's protocol ([`driver`]) |
//! | FSM | the pure state machine of a node: `step(input, moment) -> effects` ([`node::fsm`]) |
//! | actor | the task around one FSM that owns the device and runs the effects ([`node::actor`]) |
//! | supervisor | starts, restarts and reloads actors ([`node::supervisor`]) |
//! | fleet | the published table of nodes that HTTP workers read ([`node::fleet`]) |
//! | view | an immutable snapshot of one node, exchanged after every step ([`node::view`]) |
//! | command | a Redfish reset as a client asked for it, from acceptance to its end |
//! | intent | the durable part of a command |
//! | power action | one request to a device that changes power; a command needs one or several |
//! | observation | what one reading of the device said |
//! | inventory scan | reading what the machine consists of, one scan step at a time |
//! | capabilities | what a device says it can do now |
//! | connectivity | whether the device answers: backoff, circuit breaker, held login |
//! | journal | the interface through which the core makes things durable ([`node::journal`]) |
//! | group commit | one synchronous write of the store for all changes that wait ([`store`]) |
//! | write-behind | a change that may be lost in a power cut, and is written a little later |
//! | manifest | which records the database must hold, to notice what is lost |
//! | trust record | what a device proved about its identity, kept on disk |
//! | flight recorder | the last exchanges with each device, without secrets |
//! | rack, board | the simulated devices, and a simulated machine behind one ([`sim`]) |
//!
//! # Rooms, and which may use which
//!
//! ```text
//! main -> cli -> daemon -> page -> redfish -> http -> node <- driver <- { tapo, amt }
//!         |         |-> config ----------------------- ^ ----> ^ ^
//!         |         \-> store  ------------------------/         |  (same wire, no shared code)
//!         \-> sim  . . . . . . . . . . . . . . . . . . . . . . ./
//! config, driver -> reader -> node
//! clock, durable, telemetry, account, recorder, files, text: leaves.
//! ```
//!
//! | room | its job |
//! | --- | --- |
//! | [`cli`] | what can be typed and what it does: `demo`, `check`, `discover`, the clients of a running daemon, `export`, `restore`, files into files |
//! | [`daemon`] | the composition root: starts everything in order, ends it in order, reloads |
//! | [`config`] | nodes.yaml: all problems at once, with path and line; secrets; what needs a restart |
//! | [`reader`] | reading a file of keys: a cursor that writes down every problem with its place; secrets, addresses, what may not be there twice |
//! | [`node`] | **the core**: the FSM with every rule about power, the actor around it, the fleet, views, events |
//! | [`driver`] | devices: negotiation, login, requests, diagnosis; each driver with its own section of nodes.yaml. [`driver::DRIVERS`] is the list of them |
//! | [`store`] | what survives a power cut: intents, boot overrides, what devices proved, accounts, sessions. sled, with checks around it |
//! | [`redfish`] | the service: the sitemap, one file per DMTF schema, error bodies from the message registries |
//! | [`http`] | listeners, TLS, authentication, `/metrics`, `/healthz`, `/readyz` |
//! | [`page`] | the status page at `/`: a Redfish client in the browser, and one document of its own |
//! | [`sim`] | a rack of simulated plugs and AMT machines on real sockets, written apart from the drivers |
//! | [`clock`] | time and random numbers; no other room reads a clock or draws one |
//! | [`telemetry`] | logs and the registry of metrics |
//! | [`recorder`] | the flight recorder: the last exchanges with each device, without secrets |
//! | [`files`] | opening files without hanging, and without following a link to write elsewhere |
//! | [`text`] | text of devices made harmless for terminals and logs |
//! | [`durable`] | how a durable write ends: one future and one error for all that is stored |
//! | [`account`] | the types of accounts and sessions that `config`, `http` and `store` share |
//! | [`testing`] | what the tests of this package use; everything else is private to the crate |
//!
//! What is *not* there holds the house together, and `tests/tidy.rs` checks it: `node` knows no HTTP, no bytes of a device
//! protocol, no files and no formats; `redfish` and `http` know no driver and no store; `driver` and `sim` do not know each
//! other; sled stands in one file, the YAML parser in one file.
//!
//! # What happens
//!
//! - **A read**: a worker thread authenticates the request ([`http::auth`]: a table, or a remembered credential), finds the
//!   route in [`redfish::SITEMAP`], the node in the fleet's published table, and answers from its current
//!   [`NodeView`](node::view::NodeView). No mailbox, no lock across an await, no disk, no device.
//! - **A command**: goes into the node's bounded mailbox; [`Fsm::step`](node::fsm::Fsm::step) accepts, coalesces,
//!   supersedes or refuses it; the intent is made durable; *then* the client is answered; then the device is switched, and
//!   read until it shows the wanted state. A power cycle records each stage before it begins, so that a crash between two
//!   stages is a known state that the next start finishes.
//! - **A poll**: on the node's own schedule, spread over the fleet; backoff while the device fails; a circuit breaker that
//!   refuses new commands while it is away. A change that no client commanded is reported as coming from outside.
//! - **A crash**: every node starts as "last known", is served at once, and an unfinished intent is checked against the
//!   device before anything is done. A panic in one actor closes its mailbox for good; its drop guard notifies the
//!   [`Supervisor`](node::supervisor::Supervisor), which restarts it from the journal.
//!
//! # Decisions, and their price
//!
//! ## Devices and their rate
//!
//! - **One request at a time and 250 ms of rest after each**, counted from its end: a plug never sees more than four in a
//!   second, whatever the network does to the spacing. Price: a login with its first request takes about a second.
//! - **A connection to a plug is kept for 3 s, not from poll to poll**: a plug bears few, and its buffers would be most of what a
//!   node costs. Price: a TCP handshake for each poll, a quarter more CPU. AMT keeps its own, since TLS is hard work for it.
//! - **Wrong credentials are not tried again for half an hour.** A proof that does not fit is asked for once more (answers
//!   get damaged), and credentials that were right before are given up only at the third refusal.
//! - **The inventory is scanned one step at a time**, while nothing else is to be done: a command never waits for a scan.
//! - **Another machine at a node's address** (by its UUID) is neither believed nor switched.
//! - **The flight recorder shows only those texts of a device that are known to be harmless**, by a list of keys, so that a
//!   field of a firmware to come reveals nothing. Price: a new field has to be put on the list before a bug report shows it.
//!
//! ## Commands, and the power state that is shown
//!
//! - **A command for the state last seen is checked with a reading** instead of being called done at once: the plug's button
//!   may have been pressed. Price: one request.
//! - **A node that is being turned on says `Off` until it is read as on** (Redfish would allow `PoweringOn`): Ironic takes
//!   `PoweringOn` for on.
//! - **A machine that sleeps is shown as `On`**, with the state `StandbyOffline`: Ironic takes `Paused` for an error, and a
//!   machine that is reported as off could wake up beside its replacement.
//! - **A command that ends in a boot shows as the state `Starting`** until it is over: not every restart passes through `Off`.
//! - **The core speaks of power actions, not of relays**: each reading of a device says what it can do now
//!   ([`Capabilities`](node::device::Capabilities)), and what it cannot do is composed of on and off, or not offered. An action
//!   that ends where it began (a restart by the device itself) cannot be verified by a reading: it counts as done when the
//!   device acknowledged it and the node is seen on. When its answer is lost the driver looks for a trace of it, and without
//!   one it is sent again. Price: a machine that leaves no trace may restart twice.
//! - **A boot override of AMT is written right before the action that boots**, since AMT keeps it for one boot, whatever causes
//!   that boot. Price: a boot that was not commanded here does not use it.
//! - **A machine behind a plug is off by its draw only where the operator says `measured`**: Ironic turns a machine on again that it did not
//!   turn off. Off is concluded from several readings, and never from a missing one. Price: thresholds for each machine.
//! - **A machine that is asked to shut down through a hook is cut when it draws nothing, and never at a deadline**: a client that wants
//!   a cut asks for it. Price: a machine that hangs needs a second command.
//! - **What a plug does after a power loss is set in the plug**, and the client answered when it was read back: the plug is the
//!   only store of it, so that it cannot differ from a record of ours. Price: such a PATCH takes some seconds, and one that is not
//!   confirmed within eight ends as not known.
//! - **No LastResetTime**: a restart by the device or by the operating system itself cannot be seen.
//!
//! ## Redfish resources
//!
//! - **No collection is shown empty for want of knowledge** (Storage, Memory): empty says that the machine has none. No asset
//!   tag and no indicator LED: no device here has one that a client could use.
//! - **Drives are shown as one SimpleStorage**, and each with its serial number under the chassis: a Storage would have to name
//!   controllers and volumes, which no device reports, and Ironic's interoperability profile fails one without them. Price:
//!   Ironic's inspection takes names and sizes from a SimpleStorage, but no serial numbers.
//! - **A processor's threads and a drive's medium and protocol are null where they are unknown**, instead of being left out:
//!   that profile wants to see them, and null says the same.
//! - **The boot mode is shown although no device sets it**, as nodes.yaml says it (`boot_mode`, UEFI without it for AMT), and is
//!   the only allowable value: Ironic would take a node without it for one whose mode can be changed.
//! - **A plug is a rack PDU with outlets**, which is what the schemas have for it, and what it measures are sensors in the chassis
//!   of its node. Outlets are read only: a node is switched through its System, so that there is one way and one log of it.
//! - **The older Power stands beside PowerSubsystem**: Ironic reads watts nowhere else. Price: two warnings for each metered node in
//!   DMTF's validator.
//! - **The TaskService is always empty**: nothing here is a task. A command is answered when it is durable, and its end is an
//!   event.
//! - **Registries are served without the `Severity` that their schema deprecates**; `MessageSeverity` says the same.
//! - **A System is never answered with 304**: its ETag moves only with what a client can write, and so does not speak for
//!   its power state.
//! - **The ETag of a node is a counter**: `If-Match` is checked again by the actor, where the change is made. A resource that no
//!   client writes to has a digest of its body for an ETag, and is answered with 304.
//! - **A PATCH is done in part** where the rest can never be written (the answer says what was left out); a wrong value stops
//!   all of it, since half of a boot override would boot the wrong thing.
//! - **Queries are answered from the same resources as plain reads, and are not cached**; `$expand` stops at 1000 resources, at
//!   four levels, and at what the caller may read.
//! - **`/status` and `/trace/{node}` stand beside Redfish**: no schema has the age of a state or an exchange with a device, and
//!   `plugfish status` costs one read however many nodes there are. Price: a shape of our own to keep (`docs/commands.md`).
//! - **The status page logs in, switches and listens over Redfish, and reads one document beside it** (`/page/nodes`): curves,
//!   ages and the last events of every node would be four reads of each. Price: a format of our own, for the page only.
//! - **Event ids count on from the wall clock of the start**, so that a client of the stream that reconnects after a restart
//!   learns that events are missing. Price: none, with less than a thousand events in a second.
//!
//! ## Accounts and access
//!
//! - **A session or a remembered credential stays valid during a lock**: a lock of an account and the throttle of an address
//!   keep out new logins only; else a caller who knows a name could keep Ironic out. Price: a stolen password that was used
//!   before works during the lock. Locks and throttles are forgotten at a restart, so that guesses never reach the disk.
//! - **An account may see some of the nodes only**, whatever its role: clients that know one system for each address act on
//!   the first or the last. What it does not see is 404. The limit stands in nodes.yaml alone, and outlives the account's line
//!   there. Price: such an Administrator manages nothing that all nodes share.
//! - **What a foreign page asks a browser for is refused, reads included**: Basic credentials and `auth: none` come with it. A
//!   request without `Origin` and `Sec-Fetch-Site` is no browser's. Price: a page behind a proxy that hides `Host` needs HTTPS.
//! - **A stream of events ends with the session or the account that opened it**, and does not keep the session alive. Price: a client
//!   that only listens logs in again after the timeout. A subscription belongs to its account alone, and outlives sessions.
//! - **Sessions, streams and subscriptions are counted for each account**, and only its own make room: there is no bound over all but
//!   the number of accounts.
//! - **Events reach this machine and its link only for an Administrator**, by number and by name: an allow-list would have to be
//!   maintained.
//! - **Logins and changes by clients are events for those who name them**: a subscription or a stream that selects nothing hears
//!   of nodes only, since every request of Ironic would be in it. They go to Administrators of all nodes, and are not replayed:
//!   a flood of wrong logins would push out what happened to the nodes. There is no security LogService: the schema has one
//!   below a Manager only, and a Manager here is the BMC of one node. The service's own log keeps all of it.
//! - **A login is logged by name only where there is an account of that name**, since people type passwords into the wrong field.
//! - **A certificate of a subscriber is checked only where its client says `VerifyCertificate`**: the schema has it so. The
//!   headers that a client adds to a subscription are never shown; the state directory holds them unencrypted.
//!
//! ## Connections and performance
//!
//! - **Rendered bodies are kept per worker until the view is exchanged**: a read costs about what a bare handler costs
//!   (`cargo bench --bench measure -- reads`). Price: some memory, bounded.
//! - **Large bodies are sent a little at a time, small ones in one piece**: an HTTP library copies what it is given, once for each
//!   reader. Small is what clients read all the time; it is neither copied, compressed nor shared.
//! - **The address with most connections pays for the next one**, with the one that it used least recently, instead of a fixed
//!   share for each address: one client alone may have all, and a proxy that is trusted counts as many. Price: a look at all
//!   connections, some microseconds, for each new one while there is no room.
//! - **A query that reads all nodes leaves the workers, one at a time**: it takes one core. Price: a second one waits for the first.
//! - **The self-signed certificate is seldom made again**, and keeps its key: clients pin it. Price: a new address of the
//!   machine is not in it until a person asks for that.
//!
//! ## Configuration, storage and operation
//!
//! - **Files are looked at each second instead of listened to**: that sees a link that leads elsewhere (Kubernetes) and a network
//!   file system too, and is the same everywhere. Price: a second or two until a change takes effect.
//! - **A certificate from files is not replaced over Redfish**: the next deployment of the files would restore the old one.
//! - **A configuration without nodes is valid**, with a warning: a package starts its service before the first node is written.
//! - **Sockets from systemd take the place of `server.listen`**, all of it: two lists would have to agree.
//! - **systemd's watchdog is fed while the daemon can still do its work**: every actor answers, or is about to be restarted; every
//!   HTTP worker runs. No request to ourselves: it would reach one worker, and none while clients hold all connections. A
//!   device or a disk that is away does not count, since a restart helps neither.
//! - **`export` and `restore` want the daemon stopped**: the lock of the state directory then proves that nothing writes.
//! - **sled is a cache of knowledge that polling rebuilds, plus a few intents**: checksummed, with a manifest, a
//!   `state.json` backup and our own fsync. Price: about 3 MB.
//! - **The database is opened twice at each start**, and what was written between must be there: with one damaged segment sled
//!   takes writes, syncs them, and never finds them again. A database that fails this is copied. Price: some tens of milliseconds.

#![warn(unreachable_pub)]
#![allow(rustdoc::private_intra_doc_links)] // the rooms are private, and their documentation is built with them

mod account;
pub mod cli;
mod clock;
mod config;
mod daemon;
mod driver;
mod durable;
mod files;
mod http;
mod node;
mod page;
mod reader;
mod recorder;
mod redfish;
mod sim;
mod store;
mod telemetry;
pub mod testing;
mod text;
