//! Passwords: hashed slowly, compared slowly, never stored.

use std::sync::LazyLock;

use argon2::password_hash::PasswordHasher;
use argon2::password_hash::phc::{Output, PasswordHash};
use argon2::{Algorithm, Argon2, Block, Params, Version};

use crate::clock::secret_bytes;

/// `AccountService.MinPasswordLength`: fewer characters are guessed.
pub(crate) const PASSWORD_CHARS_MIN: usize = 8;

/// `AccountService.MaxPasswordLength`: what clients may set.
pub(crate) const PASSWORD_CHARS_MAX: usize = 128;

/// Longest password that is compared: nodes.yaml may have set a longer one than clients may, and hashing more is work
/// for nothing.
const PASSWORD_BYTES_MAX: usize = 1024;

/// Compared when there is no such account, so that the time it takes does not tell.
static ABSENT: LazyLock<String> = LazyLock::new(|| hash_password("no one knows this one").unwrap_or_default());

/// Where a password is checked. If each check took memory of its own, every thread that ever made one would keep its 7 MiB:
/// a flood of guesses has brought that to 120 MiB.
pub(super) type Memory = Vec<Block>;

/// argon2id with 7 MiB and 5 passes: one of OWASP's equal choices, and the one that fits a small box.
fn argon2() -> Argon2<'static> {
    let params = Params::new(7 * 1024, 5, 1, None).unwrap_or_default();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// A password as a PHC string, as `password_hash` in nodes.yaml wants it. Takes some hundredths of a second.
pub fn hash_password(password: &str) -> Result<String, argon2::password_hash::Error> {
    let salt = secret_bytes::<16>();
    Ok(argon2().hash_password_with_salt(password.as_bytes(), &salt)?.to_string())
}

/// Whether this is the password behind the hash. Takes as long when there is no hash.
pub(super) fn is_right(password: &str, hash: Option<&String>, memory: &mut Memory) -> bool {
    if password.len() > PASSWORD_BYTES_MAX {
        return false;
    }
    match PasswordHash::new(hash.unwrap_or(&ABSENT)) {
        Ok(parsed) => is_behind(password, &parsed, memory) == Some(true) && hash.is_some(),
        Err(_) => false,
    }
}

/// `None` when the hash is of a kind that is not known here.
fn is_behind(password: &str, hash: &PasswordHash, memory: &mut Memory) -> Option<bool> {
    let (salt, expected) = (hash.salt.as_ref()?, hash.hash.as_ref()?);
    let algorithm = Algorithm::try_from(hash.algorithm.as_str()).ok()?;
    let version = hash.version.map(Version::try_from).transpose().ok()?.unwrap_or_default();
    let params = Params::try_from(hash).ok()?;
    memory.resize(params.block_count(), Block::default());
    let mut output = vec![0; expected.len()];
    let argon2 = Argon2::new(algorithm, version, params);
    argon2.hash_password_into_with_memory(password.as_bytes(), salt, &mut output, memory.as_mut_slice()).ok()?;
    Some(Output::new(&output).ok()? == *expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_password_itself_is_right() {
        let hash = hash_password("one").unwrap();
        let mut memory = Memory::new();
        let mut is_right = |password: &str, hash: Option<&String>| super::is_right(password, hash, &mut memory);
        assert!(is_right("one", Some(&hash)) && !is_right("two", Some(&hash)));
        assert!(!is_right("no one knows this one", None), "no one can be no one");
        assert!(is_right("one", Some(&hash)), "whatever was checked before");
        assert!(!is_right("one", Some(&"plain".to_owned())));
        // Of another kind, as the command `argon2` makes it.
        let small = "$argon2i$v=19$m=64,t=2,p=1$c29tZXNhbHQ$";
        assert!(!is_right("password", Some(&small.to_owned())) && is_right("one", Some(&hash)));
        let long = "x".repeat(PASSWORD_BYTES_MAX + 1);
        assert!(!is_right(&long, Some(&hash_password(&long).unwrap())));
    }
}
