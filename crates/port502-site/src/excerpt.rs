//! What stands there, as far as an error message needs it.

use std::borrow::Cow;

/// The longest text that a message repeats: a file that is no map, or a value pasted by mistake, may be one line of
/// any length.
const EXCERPT_MAX: usize = 48;

/// The beginning of `text`, which is all of it when it is short.
pub(crate) fn excerpt(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(EXCERPT_MAX) {
        // Three letters are dots.
        Some(_) => Cow::Owned(text.chars().take(EXCERPT_MAX - 3).chain("...".chars()).collect()),
        None => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_both_sides_of_the_limit() {
        for (len, want) in
            [(0, 0), (EXCERPT_MAX, EXCERPT_MAX), (EXCERPT_MAX + 1, EXCERPT_MAX), (9999, EXCERPT_MAX)]
        {
            let text = "ü".repeat(len);
            let cut = excerpt(&text);
            assert_eq!((cut.chars().count(), cut.ends_with("...")), (want, len > EXCERPT_MAX), "{len}");
        }
    }
}
