//! Foldings under which two spellings count as one. They serve comparison alone: nothing folded is ever kept.

use super::variants;
use zeroize::Zeroizing;

/// Characters that are wiped when dropped.
pub type Folded = Zeroizing<Vec<char>>;

/// Full-width forms of U+FF61 (｡) to U+FF9F (ﾟ), in order.
const HALF_WIDTH_KANA: &str = "。「」、・ヲァィゥェォャュョッーアイウエオカキクケコサシスセソタチツテトナニヌネノハヒフヘホマミムメモヤユヨラリルレロワン゛゜";

/// Kana that take a dakuten or a handakuten, with what becomes of them.
const VOICED: &str = "カガキギクグケゲコゴサザシジスズセゼソゾタダチヂツヅテデトドハバヒビフブヘベホボウヴかがきぎくぐけげこごさざしじすずせぜそぞただちぢつづてでとどはばひびふぶへべほぼ";
const HALF_VOICED: &str = "ハパヒピフプヘペホポはぱひぴふぷへぺほぽ";

/// Small kana with the large ones; registers that know no small kana write キヨウ for キョウ.
const SMALL: &str = "ァアィイゥウェエォオッツャヤュユョヨヮワヵカヶケ";

/// Without regard to width and spaces; every character otherwise as it is.
pub fn plain(text: &str) -> Folded {
    let mut folded = Zeroizing::new(Vec::with_capacity(text.len()));
    for raw in text.chars().filter(|c| !c.is_whitespace()) {
        let wide = widen(raw);
        let joined = match wide {
            '゛' | '\u{3099}' => folded.last().and_then(|base| partner(VOICED, *base)),
            '゜' | '\u{309A}' => folded.last().and_then(|base| partner(HALF_VOICED, *base)),
            _ => None,
        };
        match joined {
            Some(voiced) => {
                folded.pop();
                folded.push(voiced);
            }
            None => folded.push(wide),
        }
    }
    folded
}

/// As [`plain`], and variant characters count as one, selectors of glyph variants as nothing, letters without case.
pub fn name(text: &str) -> Folded {
    let mut folded = plain(text);
    folded.retain(|c| !is_variation_selector(*c));
    for c in folded.iter_mut() {
        *c = variants::usual(*c).to_ascii_uppercase();
    }
    folded
}

/// As [`plain`], for readings: hiragana as katakana, small kana as large ones, without dots, and every dash a 長音.
pub fn kana(text: &str) -> Folded {
    let mut folded = plain(text);
    folded.retain(|c| *c != '・' && !is_variation_selector(*c));
    for c in folded.iter_mut() {
        let katakana = match *c {
            'ぁ'..='ゖ' => char::from_u32(u32::from(*c) + 0x60).unwrap_or(*c),
            '-' | '‐' | '‑' | '–' | '—' | '―' | '−' => 'ー',
            other => other.to_ascii_uppercase(),
        };
        *c = partner(SMALL, katakana).unwrap_or(katakana);
    }
    folded
}

/// Selectors of standardised (VS1–VS16) and ideographic (VS17–VS256) variants.
pub fn is_variation_selector(c: char) -> bool {
    matches!(c, '\u{FE00}'..='\u{FE0F}' | '\u{E0100}'..='\u{E01EF}')
}

fn widen(c: char) -> char {
    let code = u32::from(c);
    match c {
        // ASCII has one form here, the narrow one; kana the wide one.
        '！'..='～' => char::from_u32(code - 0xFEE0).unwrap_or(c),
        '｡'..='ﾟ' => HALF_WIDTH_KANA.chars().nth((code - 0xFF61) as usize).unwrap_or(c),
        _ => c,
    }
}

/// The character after `c` in a string of pairs.
fn partner(pairs: &str, c: char) -> Option<char> {
    let mut chars = pairs.chars();
    while let (Some(from), Some(to)) = (chars.next(), chars.next()) {
        if from == c {
            return Some(to);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(folded: Folded) -> String {
        folded.iter().collect()
    }

    #[test]
    fn half_width_kana_become_full_width_with_their_marks() {
        assert_eq!(text(plain("ﾔﾏﾀﾞ ﾊﾟｰﾙ")), "ヤマダパール");
        assert_eq!(text(plain("ｳﾞｧｲｵﾘﾝ")), "ヴァイオリン");
        assert_eq!(text(plain("カ\u{3099}")), "ガ");
        assert_eq!(HALF_WIDTH_KANA.chars().count(), 0xFF9F - 0xFF61 + 1);
    }

    #[test]
    fn a_mark_that_nothing_carries_stays() {
        assert_eq!(text(plain("ﾞｱﾞ")), "゛ア゛");
    }

    #[test]
    fn letters_are_compared_without_width_spaces_and_case() {
        assert_eq!(name("ＳＭＩＴＨ　Ｊｏｈｎ"), name("smith john"));
        assert_ne!(plain("ＳＭＩＴＨ"), plain("smith"));
    }

    #[test]
    fn readings_are_compared_without_regard_to_small_kana_hiragana_and_dots() {
        for other in ["ｷﾖｳｺ", "きょうこ", "キョウ・コ", "ｷｮｳｺ "] {
            assert_eq!(kana(other), kana("キョウコ"), "{other}");
        }
        assert_eq!(kana("ｼﾞｮ-ｼﾞ"), kana("ジョージ"));
        assert_ne!(kana("ヒロコ"), kana("ユウコ"));
    }

    #[test]
    fn selectors_of_glyph_variants_count_as_nothing() {
        assert_eq!(name("葛\u{E0100}城"), name("葛城"));
    }
}
