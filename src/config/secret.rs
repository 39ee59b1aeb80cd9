//! Secrets of the configuration: from where they are to what they are.
//!
//! The only file of this room that reads the environment, or any file beside nodes.yaml. Nothing it says repeats a secret.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

use super::shape::Secret;

/// Longest secret. Whoever names a larger file has named the wrong one.
const SECRET_LENGTH_MAX: u64 = 4096;

/// What surrounds the configuration.
pub struct Surroundings<'a> {
    /// The value of an environment variable.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// The directory that paths are relative to: that of the file.
    pub dir: PathBuf,
}

impl Surroundings<'_> {
    /// A path of the configuration.
    pub fn path(&self, path: &str) -> PathBuf {
        self.dir.join(path)
    }

    /// The value of an environment variable, if it says anything.
    pub fn var(&self, name: &str) -> Option<String> {
        (self.env)(name).filter(|value| !value.is_empty())
    }

    /// The secret itself, or why it is not there, in words.
    pub fn reveal(&self, secret: &Secret) -> Result<SecretString, String> {
        let revealed = match secret {
            Secret::Plain(secret) => secret.clone(),
            Secret::Env(name) => match (self.env)(name) {
                Some(value) => value.into(),
                None => return Err(format!("the environment variable {name} is not set")),
            },
            Secret::File(path) => read(&self.path(path))?,
            Secret::Credential(name) => {
                let dir = self.var("CREDENTIALS_DIRECTORY").ok_or_else(|| {
                    format!("there are no systemd credentials here: is LoadCredential={name}:... in the unit?")
                })?;
                if name.contains('/') || name == ".." {
                    return Err(format!("{name:?} is no name of a credential"));
                }
                read(&Path::new(&dir).join(name))?
            }
        };
        match (revealed.expose_secret().is_empty(), secret) {
            (false, _) => Ok(revealed),
            (true, Secret::Plain(_)) => Err("is empty".into()),
            (true, Secret::Env(name)) => Err(format!("the environment variable {name} is empty")),
            (true, Secret::File(path)) => Err(format!("the file {} is empty", self.path(path).display())),
            (true, Secret::Credential(name)) => Err(format!("the credential {name} is empty")),
        }
    }
}

/// Reads a secret from a file, without the line break that editors leave at its end.
fn read(path: &Path) -> Result<SecretString, String> {
    let failed = |error: io::Error| format!("cannot read {}: {error}", path.display());
    let mut text = String::new();
    File::open(path).and_then(|file| file.take(SECRET_LENGTH_MAX + 1).read_to_string(&mut text)).map_err(failed)?;
    if text.len() as u64 > SECRET_LENGTH_MAX {
        return Err(format!("{} has more than {SECRET_LENGTH_MAX} bytes: is it the right file?", path.display()));
    }
    text.truncate(text.trim_end_matches(['\n', '\r']).len());
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_come_from_where_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &[u8]| std::fs::write(dir.path().join(name), text).unwrap();
        write("pass", b"from file \r\n\n");
        write("empty", b"\n");
        write("binary", &[0xff, 0xfe]);
        write("large", &[b'x'; 5000]);
        let credentials = dir.path().display().to_string();
        let env = |name: &str| match name {
            "PASS" => Some("from env\n".to_owned()),
            "EMPTY" => Some(String::new()),
            "CREDENTIALS_DIRECTORY" => Some(credentials.clone()),
            _ => None,
        };
        let around = Surroundings { env: &env, dir: dir.path().into() };
        let reveal = |secret| around.reveal(&secret).map(|secret| secret.expose_secret().to_owned());
        assert_eq!(reveal(Secret::Plain("plain".into())), Ok("plain".into()));
        assert_eq!(reveal(Secret::Env("PASS".into())), Ok("from env\n".into()));
        assert_eq!(reveal(Secret::File("pass".into())), Ok("from file ".into()));
        assert_eq!(reveal(Secret::Credential("pass".into())), Ok("from file ".into()));
        for (secret, says) in [
            (Secret::Plain("".into()), "is empty"),
            (Secret::Env("OTHER".into()), "OTHER is not set"),
            (Secret::Env("EMPTY".into()), "EMPTY is empty"),
            (Secret::File("gone".into()), "gone: No such file"),
            (Secret::File("empty".into()), "is empty"),
            (Secret::File("binary".into()), "UTF-8"),
            (Secret::File("large".into()), "4096 bytes"),
            (Secret::Credential("gone".into()), "gone: No such file"),
            (Secret::Credential("../x".into()), "no name of a credential"),
        ] {
            let said = reveal(secret).unwrap_err();
            assert!(said.contains(says), "{said}");
        }
        let bare = Surroundings { env: &|_| None, dir: PathBuf::new() };
        let said = bare.reveal(&Secret::Credential("amt".into())).unwrap_err();
        assert!(said.contains("LoadCredential=amt"), "{said}");
    }
}
