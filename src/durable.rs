//! The contract of a durable write: the future that a room gets when it stores something, and the error in it.
//!
//! What is stored, and which checks come before, differs from room to room ([`Journal`](crate::node::journal::Journal),
//! [`AccountBook`](crate::account::AccountBook), [`SettingsStore`]). The result of a write is the same for all of them.

use std::future::Future;
use std::pin::Pin;

use serde_json::Value;
use thiserror::Error;

/// A write. When it resolves to `Ok` the change survives a power cut.
pub type WriteFuture = Pin<Box<dyn Future<Output = Result<(), WriteError>> + Send>>;

/// Why a write is not durable.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("cannot write {path}: {why}")]
pub struct WriteError {
    /// The file or directory, or the record where no file was tried.
    pub path: String,
    /// In the words of the system.
    pub why: String,
}

impl WriteError {
    /// The error of a write to `path`.
    pub fn new(path: impl Into<String>, why: impl ToString) -> WriteError {
        WriteError { path: path.into(), why: why.to_string() }
    }
}

/// Where small values of the service are kept. Reading is from memory and never waits for a disk.
pub trait SettingsStore: Send + Sync {
    /// The values whose names begin with this, in the order of their names.
    fn values(&self, prefix: &str) -> Vec<(String, Value)>;

    /// Makes a value durable, in the place of the one with its name.
    fn put_value(&self, name: &str, value: Value) -> WriteFuture;

    /// Makes it durable that there is no such value.
    fn delete_value(&self, name: &str) -> WriteFuture;
}
