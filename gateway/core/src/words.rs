//! Text that people read, in both languages at once.

use crate::explain::Lang;
use serde::Serialize;

/// The same statement in Japanese and in English.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Words {
    /// 日本語
    pub ja: &'static str,
    /// English
    pub en: &'static str,
}

impl Words {
    /// In that language.
    pub fn pick(self, lang: Lang) -> &'static str {
        match lang {
            Lang::Ja => self.ja,
            Lang::En => self.en,
        }
    }
}
