//! Which known word was meant by an unknown one.

/// Longer words are not looked at: they are no slips of the finger.
const WORD_CHARS_MAX: usize = 40;

/// The known word that was probably meant, if one is near enough.
pub(crate) fn suggest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    if word.chars().count() > WORD_CHARS_MAX {
        return None;
    }
    let plain = |word: &str| word.to_lowercase().replace(['-', ' '], "_");
    let word = plain(word);
    // One slip in three letters; in a short word one.
    let slips = (word.chars().count() / 3).clamp(1, 3);
    // A slip is a letter too many, too few, another one, or two that changed places.
    let near = known.iter().map(|known| (strsim::osa_distance(&word, &plain(known)), *known));
    let suggest = near.filter(|(distance, _)| *distance <= slips).min_by_key(|(distance, _)| *distance);
    let begins = |known: &str| is_beginning(&word, &plain(known)) || is_beginning(&plain(known), &word);
    let beginning = || known.iter().copied().find(|known| begins(known));
    suggest.map(|(_, known)| known).or_else(beginning)
}

/// `user` of `username`. Two letters begin too many words.
fn is_beginning(short: &str, long: &str) -> bool {
    short.chars().count() >= 3 && long.starts_with(short)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_near_is_found_and_what_is_not_is_not() {
        let known = ["address", "mac", "outlet", "username", "password", "poll_interval"];
        for (word, meant) in [
            ("adress", Some("address")),
            ("Address", Some("address")),
            ("poll-interval", Some("poll_interval")),
            ("pol_intervall", Some("poll_interval")),
            ("user", Some("username")),
            ("usr", None),
            ("mca", Some("mac")),
            ("adrdess", Some("address")),
            ("outlte", Some("outlet")),
            ("ma\u{e9}", Some("mac")),
            ("passqxyz", None),
            ("host", None),
            ("", None),
            ("passwords", Some("password")),
            ("colour", None),
        ] {
            assert_eq!(suggest(word, &known), meant, "{word}");
        }
        assert_eq!(suggest(&"a".repeat(100_000), &known), None);
    }
}
