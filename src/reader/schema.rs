//! Values that several sections have in common, as types: the source of the JSON schema.

#![allow(dead_code)] // only described, never read

use schemars::JsonSchema;
use serde::Deserialize;

use super::secret::SECRET_BYTES_MAX;

/// A secret: the text itself, or where it is.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Secret {
    /// The secret itself. Numbers need quotes.
    Text(#[schemars(length(min = 1, max = SECRET_BYTES_MAX))] String),
    /// In an environment variable.
    Env(FromEnv),
    /// In a file.
    File(FromFile),
    /// In a credential of systemd.
    Credential(FromCredential),
}

/// A secret in an environment variable.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FromEnv {
    /// The name of the variable.
    #[schemars(length(min = 1))]
    pub env: String,
}

/// A secret in a file.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FromFile {
    /// The path of the file; the end of the line is cut.
    #[schemars(length(min = 1))]
    pub file: String,
}

/// A secret in a credential of systemd (`LoadCredential=`).
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FromCredential {
    /// The name of the credential.
    #[schemars(length(min = 1), regex(pattern = "^[^/]+$"))]
    pub credential: String,
}

/// A hardware address: six pairs of hex digits.
#[derive(Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend(
    "pattern" = "^([0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}|[0-9A-Fa-f]{2}(-[0-9A-Fa-f]{2}){5}|[0-9A-Fa-f]{12})$",
    "examples" = ["00:5c:52:31:3a:9c"]
))]
pub(crate) struct Mac(pub String);
