//! Where the event service keeps what has to survive a restart: among the small values of the store.

use std::sync::Arc;

use serde_json::Value;

use crate::node::journal::JournalFuture;
use crate::redfish::events::{Shelf, ShelfFuture};
use crate::store::Store;

/// The store as a shelf.
pub struct StoreShelf(pub Arc<Store>);

impl Shelf for StoreShelf {
    fn values(&self, prefix: &str) -> Vec<(String, Value)> {
        self.0.values(prefix)
    }

    fn put(&self, name: &str, value: Value) -> ShelfFuture {
        in_words(self.0.put_value(name, value))
    }

    fn delete(&self, name: &str) -> ShelfFuture {
        in_words(self.0.delete_value(name))
    }
}

fn in_words(write: JournalFuture) -> ShelfFuture {
    Box::pin(async move { write.await.map_err(|error| error.to_string()) })
}
