//! The language of a page, as templates use it.

use uketsuke_core::explain::{self, Lang};

/// The words of one page: every template holds one as `w`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Words(pub(super) Lang);

impl Words {
    /// Picks one of two texts; both languages of a sentence stand side by side in the template.
    pub(super) fn t(&self, ja: &'static str, en: &'static str) -> &'static str {
        match self.0 {
            Lang::Ja => ja,
            Lang::En => en,
        }
    }

    /// For `lang` attributes and for `?lang=`.
    pub(super) fn tag(&self) -> &'static str {
        self.0.tag()
    }

    /// The promise of the official poster.
    pub(super) fn promise(&self) -> &'static str {
        explain::promise(self.0)
    }

    /// `?lang=en`; anything else is Japanese. Total, because the query comes from outside.
    pub(super) fn from_query(query: &str) -> Self {
        Self(if query.split('&').any(|pair| pair == "lang=en") { Lang::En } else { Lang::Ja })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_query_has_a_language() {
        for (query, lang) in [
            ("", Lang::Ja),
            ("lang=ja", Lang::Ja),
            ("lang=en", Lang::En),
            ("a=b&lang=en&c", Lang::En),
            ("lang=<script>", Lang::Ja),
            ("xlang=en", Lang::Ja),
            ("%%%&&==", Lang::Ja),
        ] {
            assert_eq!(Words::from_query(query).0, lang, "{query}");
        }
    }
}
