//! Secrets: in the file itself, in an environment variable, in another file, or as a credential of systemd. No problem
//! that is written down here shows any part of one.

use std::path::{Path, PathBuf};

use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;

use super::cursor::{Cursor, Read};
use super::suggest::suggest;
use super::tree::Value;

/// Longest secret. The service hashes no longer passwords, and plugs take far shorter ones.
pub(crate) const SECRET_BYTES_MAX: usize = 1024;

/// The places in which a secret may be.
pub(crate) const SECRET: &[&str] = &["env", "file", "credential"];

/// What a secret may look like.
const FORMS: &str = "text, { env: NAME }, { file: PATH } or { credential: NAME }";

/// Reads a secret, wherever it is.
pub(crate) fn secret(at: &Cursor<'_>) -> Read<SecretString> {
    let Some((source, name)) = source(at)? else {
        at.reading.note_inline_secret(&at.spot);
        return fit(at, Zeroizing::new(at.text()?.to_owned()), "the secret");
    };
    let around = at.reading.around;
    match source {
        "env" => {
            let whence = format!("the environment variable {name}");
            let value = around.var(&name).ok_or_else(|| at.problem(format_args!("{whence} is not set")))?;
            let text = value.into_string().map_err(|_| at.problem(format_args!("{whence} is not UTF-8 text")))?;
            fit(at, Zeroizing::new(text), &whence)
        }
        "file" => from_file(at, &at.reading.folder.join(&name)),
        _ => from_file(at, &credential(at, &name)?),
    }
}

/// Where the secret is, and its name there; `None` if it is right here.
fn source(at: &Cursor<'_>) -> Read<Option<(&'static str, String)>> {
    let Value::Map(entries) = &at.tree.value else {
        return match at.tree.value {
            Value::List(_) | Value::Null | Value::Tagged => Err(at.wants(FORMS)),
            _ => Ok(None),
        };
    };
    // The keys are not shown: a password in braces is a key.
    let [(key, tree)] = entries.as_slice() else {
        return Err(at.problem(format_args!("must be {FORMS}: exactly one key")));
    };
    let Some(source) = SECRET.iter().find(|known| *known == key) else {
        let hint = suggest(key, SECRET).map(|meant| format!("; did you mean {meant}?")).unwrap_or_default();
        return Err(at.problem(format_args!("must be {FORMS}; this key is none of them{hint}")));
    };
    let spot = at.spot.key(source, tree.line);
    let inner = Cursor { reading: at.reading, spot, tree };
    let name = inner.text()?;
    if name.is_empty() {
        return Err(inner.problem("must not be empty"));
    }
    Ok(Some((source, name.into())))
}

/// The file of a credential (systemd.exec, `LoadCredential=`).
fn credential(at: &Cursor<'_>, name: &str) -> Read<PathBuf> {
    let folder = at.reading.around.var("CREDENTIALS_DIRECTORY").ok_or_else(|| {
        at.problem(format_args!(
            "there are no credentials ($CREDENTIALS_DIRECTORY is not set): systemd gives them to units with \
             LoadCredential={name}:PATH"
        ))
    })?;
    if name.contains('/') || name == ".." || name == "." {
        return Err(at.problem(format_args!("{name:?} is not the name of a credential: it is a file name, not a path")));
    }
    Ok(Path::new(&folder).join(name))
}

fn from_file(at: &Cursor<'_>, path: &Path) -> Read<SecretString> {
    let whence = path.display().to_string();
    // Two bytes more for the end of the line.
    let bytes = at.reading.around.read(path, SECRET_BYTES_MAX + 2);
    let bytes = bytes.map_err(|error| at.problem(format_args!("{whence} cannot be read: {error}")))?;
    let bytes = Zeroizing::new(bytes);
    let text = std::str::from_utf8(&bytes);
    let text = match text {
        Ok(text) => text,
        // Cut within a letter is too long, not damaged.
        Err(error) if error.error_len().is_none() && bytes.len() > SECRET_BYTES_MAX => {
            return Err(at.problem(too_long(&whence)));
        }
        Err(_) => return Err(at.problem(format_args!("{whence} is not UTF-8 text"))),
    };
    let text = text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text));
    fit(at, Zeroizing::new(text.to_owned()), &whence)
}

/// A secret that can be one.
fn fit(at: &Cursor<'_>, secret: Zeroizing<String>, whence: &str) -> Read<SecretString> {
    if secret.is_empty() {
        return Err(at.problem(format_args!("{whence} is empty")));
    }
    if secret.len() > SECRET_BYTES_MAX {
        return Err(at.problem(too_long(whence)));
    }
    if secret.chars().any(char::is_control) {
        return Err(at.problem(format_args!("{whence} must be one line without control characters")));
    }
    Ok(SecretString::from(secret.as_str()))
}

fn too_long(whence: &str) -> String {
    format!("{whence} is longer than {SECRET_BYTES_MAX} bytes; is it the right one?")
}
