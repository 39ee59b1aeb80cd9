//! `plugfish export` and `plugfish restore`: write the state of a stopped daemon as one JSON document, and read it
//! back.
//!
//! A running daemon locks its state directory, so neither command can run beside it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};

use super::output::{print, remark};
use super::{Export, Restore, StateDir};
use crate::clock::Clock;
use crate::config;
use crate::files;
use crate::store::{STATE_BYTES_MAX, Store, StoreError};
use crate::telemetry::Metrics;

/// What a state directory has in it that was ever used.
const SIGNS_OF_USE: [&str; 2] = ["sled", "state.json"];

/// `plugfish export`.
pub(super) fn export(options: &Export) -> Result<()> {
    let dir = directory(&options.place)?;
    if !is_used(&dir) {
        bail!("there is no state in {}; name the directory with --state-dir", dir.display());
    }
    let store = open(&dir)?;
    let document = store.export();
    store.close();
    // A shell makes the file of `> state.json` readable for all users, and there are hashes of passwords in it.
    if files::close_to_others(std::io::stdout()).context("cannot close the file to others")? {
        remark("the file has mode 0600 now: it holds hashes of passwords");
    }
    print(&format!("{document:#}\n"));
    Ok(())
}

/// `plugfish restore`.
pub(super) fn restore(options: &Restore) -> Result<()> {
    let from = options.from.display();
    let dir = directory(&options.place)?;
    // Before anything is touched.
    let text = read(&options.from).with_context(|| format!("cannot restore {from}"))?;
    Store::check(&text).with_context(|| format!("cannot restore {from}"))?;
    if is_used(&dir) && !options.force {
        bail!(
            "there is state in {} already, and it would be lost: keep it with `plugfish export`, then add --force",
            dir.display()
        );
    }
    let store = open(&dir)?;
    let (left_out, written) = store.restore(&text).with_context(|| format!("cannot restore {from}"))?;
    let written = actix::System::new().block_on(written);
    store.close();
    written.with_context(|| format!("cannot write the state to {}", dir.display()))?;
    for what in left_out {
        remark(&format!("left out: {what}"));
    }
    print(&format!("{}: restored from {from}; all clients log in again\n", dir.display()));
    Ok(())
}

fn directory(place: &StateDir) -> Result<PathBuf> {
    if let Some(dir) = &place.state_dir {
        return Ok(dir.clone());
    }
    let path = config::find(place.file.config.clone())?;
    Ok(config::load(&path)?.config.state_dir)
}

fn is_used(dir: &Path) -> bool {
    SIGNS_OF_USE.iter().any(|name| dir.join(name).exists())
}

fn open(dir: &Path) -> Result<Arc<Store>> {
    match Store::open(dir, Clock::system(), Metrics::new()) {
        Ok((store, report)) => {
            report.notes.iter().for_each(|note| remark(note));
            Ok(store)
        }
        Err(error @ StoreError::InUse { .. }) => {
            Err(error).context("this works on a daemon that is stopped, such as by `systemctl stop plugfish`")
        }
        Err(error) => Err(error.into()),
    }
}

fn read(path: &Path) -> Result<String> {
    let bytes_max = usize::try_from(STATE_BYTES_MAX)?;
    let bytes = files::read(path, bytes_max)?;
    if bytes.len() > bytes_max {
        bail!("it is larger than {} MiB", STATE_BYTES_MAX / 1024 / 1024);
    }
    Ok(String::from_utf8(bytes)?)
}
