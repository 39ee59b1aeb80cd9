//! Which known word was meant by an unknown one.

/// Longer words are not looked at: they are no slips of the finger.
const WORD_CHARS_MAX: usize = 40;

/// The known word that was probably meant, if one is near enough.
pub(super) fn suggest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    if word.chars().count() > WORD_CHARS_MAX {
        return None;
    }
    let plain = |word: &str| word.to_lowercase().replace(['-', ' '], "_");
    let word = plain(word);
    // One slip in three letters; in a short word one.
    let slips = (word.chars().count() / 3).clamp(1, 3);
    let near = known.iter().map(|known| (distance(&word, &plain(known)), *known));
    let suggest = near.filter(|(distance, _)| *distance <= slips).min_by_key(|(distance, _)| *distance);
    let begins = |known: &str| is_beginning(&word, &plain(known)) || is_beginning(&plain(known), &word);
    let beginning = || known.iter().copied().find(|known| begins(known));
    suggest.map(|(_, known)| known).or_else(beginning)
}

/// `user` of `username`. Two letters begin too many words.
fn is_beginning(short: &str, long: &str) -> bool {
    short.chars().count() >= 3 && long.starts_with(short)
}

/// How many slips lead from one word to the other: a letter too many, too few, another one, or two that changed places.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, to) in b.iter().enumerate() {
            let at = |row: &[usize], j: usize| row.get(j).copied().unwrap_or(usize::MAX - 1);
            let other = at(&above, j) + usize::from(from != to);
            let mut least = other.min(at(&above, j + 1) + 1).min(at(&row, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(to) && b.get(j - 1) == Some(from);
            if swapped {
                least = least.min(at(&before, j - 1) + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_counted() {
        for (a, b, slips) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("address", "adress", 1),
            ("adrdess", "address", 1),
            ("kitten", "sitting", 3),
            ("outlet", "outlte", 1),
            ("é", "e", 1),
        ] {
            assert_eq!(distance(a, b), slips, "{a} {b}");
            assert_eq!(distance(b, a), slips, "{b} {a}");
        }
    }

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
