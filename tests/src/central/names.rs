//! Name tables of the synthetic population: common Japanese names with half-width kana, and family names written
//! with a variant kanji that the central system's character set lacks.

/// Family name and its kana, for names that arrive whole.
pub(super) const FAMILY: [(&str, &str); 24] = [
    ("佐藤", "ｻﾄｳ"),
    ("鈴木", "ｽｽﾞｷ"),
    ("田中", "ﾀﾅｶ"),
    ("伊藤", "ｲﾄｳ"),
    ("渡辺", "ﾜﾀﾅﾍﾞ"),
    ("山本", "ﾔﾏﾓﾄ"),
    ("中村", "ﾅｶﾑﾗ"),
    ("小林", "ｺﾊﾞﾔｼ"),
    ("加藤", "ｶﾄｳ"),
    ("山田", "ﾔﾏﾀﾞ"),
    ("松本", "ﾏﾂﾓﾄ"),
    ("井上", "ｲﾉｳｴ"),
    ("木村", "ｷﾑﾗ"),
    ("林", "ﾊﾔｼ"),
    ("清水", "ｼﾐｽﾞ"),
    ("森", "ﾓﾘ"),
    ("池田", "ｲｹﾀﾞ"),
    ("橋本", "ﾊｼﾓﾄ"),
    ("石川", "ｲｼｶﾜ"),
    ("前田", "ﾏｴﾀﾞ"),
    ("藤田", "ﾌｼﾞﾀ"),
    ("岡田", "ｵｶﾀﾞ"),
    ("村上", "ﾑﾗｶﾐ"),
    ("近藤", "ｺﾝﾄﾞｳ"),
];

/// Family names as they arrive when a variant kanji (髙, 﨑, 邉, 德, 𠮷, 栁) could not be mapped.
pub(super) const FAMILY_WITH_DOT: [(&str, &str); 7] = [
    ("●橋", "ﾀｶﾊｼ"),
    ("山●", "ﾔﾏｻﾞｷ"),
    ("渡●", "ﾜﾀﾅﾍﾞ"),
    ("●永", "ﾄｸﾅｶﾞ"),
    ("●田", "ﾖｼﾀﾞ"),
    ("●沢", "ﾔﾅｷﾞｻﾜ"),
    ("●●", "ﾀｶｻｷ"),
];

/// Given names of women.
pub(super) const GIVEN_FEMALE: [(&str, &str); 12] = [
    ("花子", "ﾊﾅｺ"),
    ("陽子", "ﾖｳｺ"),
    ("恵", "ﾒｸﾞﾐ"),
    ("美咲", "ﾐｻｷ"),
    ("結衣", "ﾕｲ"),
    ("さくら", "ｻｸﾗ"),
    ("和子", "ｶｽﾞｺ"),
    ("幸子", "ｻﾁｺ"),
    ("由美", "ﾕﾐ"),
    ("直美", "ﾅｵﾐ"),
    ("葵", "ｱｵｲ"),
    ("凛", "ﾘﾝ"),
];

/// Given names of men.
pub(super) const GIVEN_MALE: [(&str, &str); 12] = [
    ("太郎", "ﾀﾛｳ"),
    ("一郎", "ｲﾁﾛｳ"),
    ("健", "ｹﾝ"),
    ("翔太", "ｼｮｳﾀ"),
    ("大輔", "ﾀﾞｲｽｹ"),
    ("誠", "ﾏｺﾄ"),
    ("清", "ｷﾖｼ"),
    ("隆", "ﾀｶｼ"),
    ("蓮", "ﾚﾝ"),
    ("陽斗", "ﾊﾙﾄ"),
    ("三郎", "ｻﾌﾞﾛｳ"),
    ("博", "ﾋﾛｼ"),
];
