//! The language of a page, as templates use it.

use super::{Waiting, WebState};
use actix_web::{HttpRequest, web};
use uketsuke_core::explain::{self, Lang};

/// The words of one page: every template holds one as `w`. Language, and the site's own help line if it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Words(pub(super) Lang, pub(super) Option<&'static str>);

impl Words {
    /// Picks one of two texts; both languages of a sentence stand side by side in the template.
    pub(super) fn t(&self, ja: &'static str, en: &'static str) -> &'static str {
        match self.0 {
            Lang::Ja => ja,
            Lang::En => en,
        }
    }

    /// The language itself, for texts of the core.
    pub(super) fn lang(&self) -> Lang {
        self.0
    }

    /// For `lang` attributes and for `?lang=`.
    pub(super) fn tag(&self) -> &'static str {
        self.0.tag()
    }

    /// Whom to call.
    pub(super) fn help_lines(&self) -> String {
        explain::help_lines(self.1, self.0)
    }

    /// Whom staff call, and whom patients.
    pub(super) fn staff_help_lines(&self) -> String {
        explain::staff_help_lines(self.1, self.0)
    }

    /// The promise of the official poster.
    pub(super) fn promise(&self) -> &'static str {
        explain::promise(self.0)
    }

    /// What a request asks for.
    pub(super) fn of(request: &HttpRequest) -> Self {
        let site = match request.app_data::<web::Data<WebState>>() {
            Some(state) => state.help_line,
            None => request.app_data::<web::Data<Waiting>>().and_then(|waiting| waiting.help_line),
        };
        Self(lang(request.query_string()), site)
    }
}

/// `?lang=en`; anything else is Japanese. Total, because the query comes from outside.
fn lang(query: &str) -> Lang {
    if query.split('&').any(|pair| pair == "lang=en") { Lang::En } else { Lang::Ja }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_query_has_a_language() {
        for (query, expected) in [
            ("", Lang::Ja),
            ("lang=ja", Lang::Ja),
            ("lang=en", Lang::En),
            ("a=b&lang=en&c", Lang::En),
            ("lang=<script>", Lang::Ja),
            ("xlang=en", Lang::Ja),
            ("%%%&&==", Lang::Ja),
        ] {
            assert_eq!(lang(query), expected, "{query}");
        }
    }
}
