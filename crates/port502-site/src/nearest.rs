/// The known word that `word` was most likely meant to be; `None` when none is close.
///
/// ```
/// assert_eq!(port502_site::nearest("holdign", ["coil", "holding"]), Some("holding"));
/// assert_eq!(port502_site::nearest("banana", ["coil", "holding"]), None);
/// ```
pub fn nearest<'w>(word: &str, known: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    let word = word.to_ascii_lowercase();
    // A third of the letters may be wrong, but in the shortest words one.
    let tolerance = (word.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|candidate| (distance(&word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= tolerance && *distance < candidate.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Letters to insert, remove, change, or exchange with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    // Three rows of the usual table: the last two, and the one being made.
    let (mut before, mut last): (Vec<usize>, Vec<usize>) = (Vec::new(), (0..=b.len()).collect());
    let mut previous = None;
    for (i, x) in a.chars().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let at = |row: &[usize], j: usize| row.get(j).copied().unwrap_or(usize::MAX - 1);
            let mut best =
                (at(&last, j) + usize::from(x != *y)).min(at(&last, j + 1) + 1).min(at(&row, j) + 1);
            let swapped = j.checked_sub(1).is_some_and(|k| b.get(k) == Some(&x) && previous == Some(*y));
            if swapped {
                best = best.min(at(&before, j - 1) + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
        previous = Some(x);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, want) in [
            ("", "", 0),
            ("", "ab", 2),
            ("ab", "", 2),
            ("coil", "coil", 0),
            ("coli", "coil", 1),
            ("oil", "coil", 1),
            ("cooil", "coil", 1),
            ("cail", "coil", 1),
            ("holdnig", "holding", 1),
            ("f31", "f32", 1),
            ("abc", "xyz", 3),
        ] {
            assert_eq!(distance(a, b), want, "{a} {b}");
        }
    }

    #[test]
    fn only_what_is_close() {
        let known = ["coil", "discrete", "input", "holding"];
        for (word, want) in [
            ("coils", Some("coil")),
            ("Holdings", Some("holding")),
            ("inptu", Some("input")),
            ("discreet", Some("discrete")),
            ("x", None),
            ("", None),
            ("register", None),
        ] {
            assert_eq!(nearest(word, known), want, "{word}");
        }
    }
}
