//! HTTP Digest: reads a challenge, builds the answer. RFC 7616, and RFC 2069 for peers without qop.
//!
//! Pure but for the client's nonce. It knows no HTTP client and no driver.

use std::fmt::Write as _;

use md5::Md5;
use sha2::Sha256;
use sha2::digest::Digest;
use thiserror::Error;

/// Longest header that is read at all. Real challenges have about 150 bytes.
const CHALLENGE_BYTES_MAX: usize = 4096;

/// Longest realm: it is remembered. AMT's have 39 characters.
const REALM_BYTES_MAX: usize = 256;

/// Most challenges and parameters of all headers together; a real answer has one challenge with four.
const PARAMETERS_MAX: usize = 64;

/// How a hash is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    /// `MD5`, also when nothing is said.
    Md5,
    /// `MD5-sess`.
    Md5Sess,
    /// `SHA-256`.
    Sha256,
    /// `SHA-256-sess`.
    Sha256Sess,
}

impl Algorithm {
    fn parse(name: &str) -> Option<Algorithm> {
        let all = [Algorithm::Md5, Algorithm::Md5Sess, Algorithm::Sha256, Algorithm::Sha256Sess];
        all.into_iter().find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
    }

    const fn name(self) -> &'static str {
        match self {
            Algorithm::Md5 => "MD5",
            Algorithm::Md5Sess => "MD5-sess",
            Algorithm::Sha256 => "SHA-256",
            Algorithm::Sha256Sess => "SHA-256-sess",
        }
    }

    fn hash(self, text: &str) -> String {
        match self {
            Algorithm::Md5 | Algorithm::Md5Sess => hex::encode(Md5::digest(text)),
            Algorithm::Sha256 | Algorithm::Sha256Sess => hex::encode(Sha256::digest(text)),
        }
    }

    const fn is_session(self) -> bool {
        matches!(self, Algorithm::Md5Sess | Algorithm::Sha256Sess)
    }
}

/// What a server asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// Who asks: `Digest:727734D63A1FC0423736E48DA554E462`.
    pub realm: String,
    /// Its nonce.
    pub nonce: String,
    /// To be sent back as it is.
    pub opaque: Option<String>,
    /// The credentials were right, only the nonce was too old.
    pub stale: bool,
    /// The hash.
    pub algorithm: Algorithm,
    /// `auth` is among the qualities of protection; without, it is RFC 2069.
    pub qop: bool,
    /// The algorithm was named, so it is named back.
    named: bool,
}

/// Why there is no challenge to be answered.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ChallengeError {
    /// No header, or other schemes only.
    #[error("it asks for no Digest login")]
    NoDigest,
    /// Digest with terms that are not supported.
    #[error("it asks for a Digest login with an algorithm or a quality of protection that plugfish does not have")]
    Unsupported,
    /// Not to be read.
    #[error("its challenge cannot be read")]
    Malformed,
}

/// A challenge as read, before anything is required of it.
type Parameters<'a> = (&'a str, Vec<(&'a str, String)>);

impl Challenge {
    /// Reads the values of all `WWW-Authenticate` headers of an answer and takes the strongest Digest challenge.
    pub fn parse<'a>(headers: impl IntoIterator<Item = &'a str>) -> Result<Challenge, ChallengeError> {
        let mut best: Result<Challenge, ChallengeError> = Err(ChallengeError::NoDigest);
        for header in headers {
            if header.len() > CHALLENGE_BYTES_MAX {
                return Err(ChallengeError::Malformed);
            }
            let (challenges, whole) = split(header);
            for (_, parameters) in challenges.iter().filter(|(scheme, _)| scheme.eq_ignore_ascii_case("Digest")) {
                let read = Challenge::read(parameters);
                best = match (best, read) {
                    (Ok(best), Ok(read)) if read.algorithm > best.algorithm => Ok(read),
                    (Ok(best), _) => Ok(best),
                    (Err(_), read) => read,
                };
            }
            if !whole && best == Err(ChallengeError::NoDigest) {
                best = Err(ChallengeError::Malformed);
            }
        }
        best
    }

    fn read(parameters: &[(&str, String)]) -> Result<Challenge, ChallengeError> {
        let get = |name: &str| {
            parameters.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
        };
        let fits = |realm: &&str| realm.len() <= REALM_BYTES_MAX;
        let algorithm = match get("algorithm") {
            Some(name) => Algorithm::parse(name).ok_or(ChallengeError::Unsupported)?,
            None => Algorithm::Md5,
        };
        let qop = match get("qop").map(str::trim).filter(|list| !list.is_empty()) {
            Some(list) if list.split(',').any(|one| one.trim().eq_ignore_ascii_case("auth")) => true,
            Some(_) => return Err(ChallengeError::Unsupported),
            None => false,
        };
        Ok(Challenge {
            realm: get("realm").filter(fits).ok_or(ChallengeError::Malformed)?.to_owned(),
            nonce: get("nonce").filter(|nonce| !nonce.is_empty()).ok_or(ChallengeError::Malformed)?.to_owned(),
            opaque: get("opaque").map(str::to_owned),
            stale: get("stale").is_some_and(|stale| stale.trim().eq_ignore_ascii_case("true")),
            algorithm,
            qop,
            named: get("algorithm").is_some(),
        })
    }
}

/// Cuts a header into challenges with their parameters, and says whether all of it could be read.
///
/// The comma separates challenges and parameters alike, so what a word is shows only after it: a parameter has `=` and a
/// value, anything else is the name of a scheme, or a token68, which is as good as an unknown scheme here.
fn split(header: &str) -> (Vec<Parameters<'_>>, bool) {
    let mut found: Vec<Parameters<'_>> = Vec::new();
    let mut count = 0;
    let Some(mut rest) = header.get(..header.len().min(CHALLENGE_BYTES_MAX)) else { return (found, false) };
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return (found, header.len() <= CHALLENGE_BYTES_MAX);
        }
        count += 1;
        let end = rest.find([' ', '\t', ',', '=', '"']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if word.is_empty() || count > PARAMETERS_MAX {
            return (found, false);
        }
        let Some(value) = after.trim_start_matches([' ', '\t']).strip_prefix('=') else {
            found.push((word, Vec::new()));
            rest = after;
            continue;
        };
        // The end of a token68.
        if value.starts_with(['=', ',']) || value.is_empty() {
            rest = value.trim_start_matches('=');
            continue;
        }
        let Some((value, after)) = split_value(value.trim_start_matches([' ', '\t'])) else { return (found, false) };
        rest = after;
        if let Some((_, parameters)) = found.last_mut() {
            parameters.push((word, value));
        }
    }
}

/// A token or a quoted string, and what follows it. `None` for a string without an end or with control characters.
fn split_value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([' ', '\t', ',']).unwrap_or(text.len());
        let (token, after) = text.split_at(end);
        return Some((token.to_owned(), after)).filter(|_| !token.contains(char::is_control));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return Some((value, quoted.get(at + 1..)?)),
            '\\' => value.push(characters.next().filter(|(_, c)| !c.is_control())?.1),
            c if c.is_control() => return None,
            c => value.push(c),
        }
    }
    None
}

/// Whose login, and for which request.
#[derive(Clone, Copy)]
pub struct Claim<'a> {
    /// The user.
    pub username: &'a str,
    /// Its password.
    pub password: &'a str,
    /// `POST`.
    pub method: &'a str,
    /// The request's target: `/wsman`.
    pub uri: &'a str,
}

/// Builds the value of `Authorization`. `count` is the number of requests with this nonce, this one included.
pub fn authorization(challenge: &Challenge, pending_power_on: Claim<'_>, count: u32, cnonce: &str) -> String {
    let Challenge { realm, nonce, opaque, algorithm, qop, named, .. } = challenge;
    let Claim { username, password, method, uri } = pending_power_on;
    let hash = |text: String| algorithm.hash(&text);
    let mut secret = hash(format!("{username}:{realm}:{password}"));
    if algorithm.is_session() {
        secret = hash(format!("{secret}:{nonce}:{cnonce}"));
    }
    let request = hash(format!("{method}:{uri}"));
    let response = if *qop {
        hash(format!("{secret}:{nonce}:{count:08x}:{cnonce}:auth:{request}"))
    } else {
        hash(format!("{secret}:{nonce}:{request}"))
    };
    let mut header = format!(
        "Digest username={}, realm={}, nonce={}, uri={}, response=\"{response}\"",
        quote(username),
        quote(realm),
        quote(nonce),
        quote(uri)
    );
    if *qop {
        let _ = write!(header, ", qop=auth, nc={count:08x}, cnonce={}", quote(cnonce));
    } else if algorithm.is_session() {
        let _ = write!(header, ", cnonce={}", quote(cnonce));
    }
    if *named {
        let _ = write!(header, ", algorithm={}", algorithm.name());
    }
    if let Some(opaque) = opaque {
        let _ = write!(header, ", opaque={}", quote(opaque));
    }
    header
}

fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests;
