//! Licence expressions as SPDX writes them, and which of them we take.
//!
//! ```text
//!   expression = term { "OR" term }
//!   term       = factor { "AND" factor }                 "/" is the older way to write OR
//!   factor     = "(" expression ")" | licence [ "WITH" exception ]
//! ```

/// Licences under which a crate may be part of every build.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Licences of single files that must be passed on: only behind a feature that is off by default.
const ALLOWED_BEHIND_A_FEATURE: &[&str] = &["MPL-2.0"];

/// Where a crate is part of the build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    EveryBuild,
    BehindAFeature,
}

/// Why an expression is not taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The expression holds, but asks for a licence that is not on the list.
    NotAllowed,
    /// It is not an expression.
    Malformed,
}

/// Whether the expression can be met with allowed licences alone.
pub(crate) fn judge(expression: &str, part: Part) -> Result<(), Refusal> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut reader = Reader { words: spaced.split_whitespace().peekable(), part };
    match (reader.expression(), reader.words.next()) {
        (Some(true), None) => Ok(()),
        (Some(false), None) => Err(Refusal::NotAllowed),
        _ => Err(Refusal::Malformed),
    }
}

struct Reader<'a, I: Iterator<Item = &'a str>> {
    words: std::iter::Peekable<I>,
    part: Part,
}

impl<'a, I: Iterator<Item = &'a str>> Reader<'a, I> {
    fn expression(&mut self) -> Option<bool> {
        let mut met = self.term()?;
        while self.words.next_if(|&word| word == "OR").is_some() {
            met |= self.term()?;
        }
        Some(met)
    }

    fn term(&mut self) -> Option<bool> {
        let mut met = self.factor()?;
        while self.words.next_if(|&word| word == "AND").is_some() {
            met &= self.factor()?;
        }
        Some(met)
    }

    fn factor(&mut self) -> Option<bool> {
        let word = self.words.next()?;
        if word == "(" {
            let met = self.expression()?;
            return self.words.next_if(|&word| word == ")").map(|_| met);
        }
        if matches!(word, ")" | "OR" | "AND" | "WITH") {
            return None;
        }
        let licence = match self.words.next_if(|&word| word == "WITH") {
            Some(_) => format!("{word} WITH {}", self.words.next()?),
            None => word.to_owned(),
        };
        let behind_a_feature = self.part == Part::BehindAFeature;
        Some(
            ALLOWED.contains(&licence.as_str())
                || behind_a_feature && ALLOWED_BEHIND_A_FEATURE.contains(&licence.as_str()),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(expression: &str, want: Result<(), Refusal>) {
        assert_eq!(judge(expression, Part::EveryBuild), want, "{expression}");
    }

    #[test]
    fn expressions_are_met_or_not() {
        check("MIT", Ok(()));
        check("MIT OR Apache-2.0", Ok(()));
        check("MIT/Apache-2.0", Ok(()));
        check("GPL-3.0 OR MIT", Ok(()));
        check("GPL-3.0", Err(Refusal::NotAllowed));
        check("MIT AND GPL-3.0", Err(Refusal::NotAllowed));
        check("(MIT OR Apache-2.0) AND Unicode-3.0", Ok(()));
        check("(MIT OR Apache-2.0) AND OpenSSL", Err(Refusal::NotAllowed));
        // AND binds more tightly than OR.
        check("MIT OR GPL-3.0 AND OpenSSL", Ok(()));
        check("GPL-3.0 AND OpenSSL OR MIT", Ok(()));
        check("GPL-3.0 AND (OpenSSL OR MIT)", Err(Refusal::NotAllowed));
        check("Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT", Ok(()));
        check("Apache-2.0 WITH LLVM-exception", Ok(()));
        check("GPL-2.0 WITH Classpath-exception-2.0", Err(Refusal::NotAllowed));
        check("mit", Err(Refusal::NotAllowed));
    }

    #[test]
    fn nonsense_is_malformed() {
        for nonsense in ["", "MIT OR", "OR MIT", "MIT Apache-2.0", "(MIT", "MIT)", "()", "MIT WITH", "AND"] {
            check(nonsense, Err(Refusal::Malformed));
        }
    }

    #[test]
    fn mpl_only_behind_a_feature() {
        assert_eq!(judge("MPL-2.0", Part::EveryBuild), Err(Refusal::NotAllowed));
        assert_eq!(judge("MPL-2.0", Part::BehindAFeature), Ok(()));
        assert_eq!(judge("MIT AND MPL-2.0", Part::BehindAFeature), Ok(()));
    }
}
