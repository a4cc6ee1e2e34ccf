//! Characters of names that are written in more than one way.
//!
//! The tables hold variants (異体字) that are common in names of people and places and that registers exchange for one another: old and
//! new forms of the 常用漢字 and 人名用漢字, and forms outside the character sets of older systems (髙, 﨑, 𠮷). They are made for comparison
//! alone, where birth date and sex must agree as well. Characters that make another name (坂 and 阪, 畑 and 畠) are left out, so that
//! staff or the kana decide.

/// Each entry is one set; its first character is the one it is compared by.
#[rustfmt::skip]
const SETS: &[&str] = &[
    "高髙", "崎﨑嵜碕", "徳德", "辺邊邉", "斎齋齊斉", "浜濱濵", "吉𠮷", "橋槗𣘺", "桒桑", "富冨", "島嶋嶌",
    "沢澤", "広廣", "恵惠", "真眞", "館舘", "桜櫻", "滝瀧", "関關", "塩鹽", "竜龍", "鉄鐵鐡", "蔵藏", "国國圀",
    "万萬", "会會", "学學", "実實", "寿壽", "栄榮", "円圓", "園薗", "応應", "亀龜", "巌巖", "気氣", "亘亙",
    "晃晄", "暁曉", "静靜", "浄淨", "条條", "穂穗", "勲勳", "薫薰", "芸藝", "検檢", "顕顯", "県縣", "険險",
    "厳嚴", "弥彌", "弁辨瓣辯", "来來", "礼禮", "予豫", "与與", "余餘", "両兩", "緑綠", "塁壘", "黒黑", "録錄",
    "郎郞", "熙凞煕", "凜凛", "尭堯", "槙槇", "遥遙", "瑶瑤", "峰峯", "峨峩", "岳嶽", "船舩", "野埜", "松枩",
    "梅楳", "桧檜", "柳栁桺", "柏栢", "曽曾", "増增", "祢禰", "秋穐龝", "翠翆", "昇曻", "鎌鐮", "鋭銳", "総總惣",
    "聡聰", "荘莊", "蒋蔣", "彦彥", "産產", "頼賴", "瀬瀨", "清淸", "青靑", "渕淵渊", "満滿", "湾灣", "鴬鶯",
    "鴎鷗", "麹麴", "黄黃", "横橫", "奥奧", "将將", "奨奬獎", "尽盡", "属屬", "巣巢", "帯帶", "徴徵", "恒恆",
    "悦悅", "慎愼", "戸戶", "戦戰", "払拂", "抜拔", "拡擴", "挙擧", "教敎", "数數", "昂昻", "晩晚", "暦曆",
    "栃杤", "楽樂", "様樣", "権權", "歩步", "歳歲", "歴歷", "毎每", "浅淺", "渉涉", "渓溪谿", "温溫", "為爲",
    "状狀", "独獨", "珍珎", "畳疊", "発發", "鉱鑛礦", "祷禱", "秘祕", "稲稻", "穣穰", "糸絲", "経經", "絵繪",
    "継繼", "続續", "縁緣", "縄繩", "声聲", "舎舍", "茎莖", "萌萠", "蛍螢", "覚覺", "観觀", "触觸", "訳譯",
    "誉譽", "読讀", "謡謠", "豊豐", "転轉", "軽輕", "郷鄕", "釈釋", "釜釡", "銭錢", "隠隱", "随隨", "霊靈",
    "頬頰", "顔顏", "駅驛", "駆驅", "騒騷", "験驗", "髪髮", "鶏鷄雞", "麦麥", "黙默", "歯齒", "齢齡", "薮藪",
    "籠篭", "桝枡", "梁樑", "闘鬪", "堤隄", "壌壤", "壮壯", "売賣", "宝寶寳", "寛寬", "対對", "専專", "鶴鸖",
    "葉𫟰", "土圡", "角⻆", "吞呑", "侭儘", "剣劍劒", "単單", "団團", "図圖", "変變", "塡填", "姉姊", "嬢孃",
    "峡峽", "巻卷", "庁廳", "従從", "択擇", "昼晝", "枢樞", "栖棲", "桟棧", "欧歐", "潜潛", "焔焰", "痩瘦",
    "禅禪", "竈竃", "粛肅", "聴聽", "脇𦚰", "芦蘆", "莱萊", "蝉蟬", "賎賤", "逓遞", "鈎鉤", "陥陷", "隣鄰",
    "雑雜", "頚頸", "餅餠", "髄髓", "鹸鹼", "麺麵", "黛黱",
];

/// Compatibility ideographs with the characters that they are forms of (Unicode, canonical decomposition). Escaped, because tools
/// that normalise text would turn one into the other.
#[rustfmt::skip]
const COMPATIBILITY: &[(char, char)] = &[
    ('\u{F928}', '廊'), ('\u{F929}', '朗'), ('\u{F9DC}', '隆'), ('\u{FA10}', '塚'), ('\u{FA12}', '晴'),
    ('\u{FA15}', '凞'), ('\u{FA16}', '猪'), ('\u{FA17}', '益'), ('\u{FA18}', '礼'), ('\u{FA19}', '神'),
    ('\u{FA1A}', '祥'), ('\u{FA1B}', '福'), ('\u{FA1C}', '靖'), ('\u{FA1D}', '精'), ('\u{FA1E}', '羽'),
    ('\u{FA20}', '蘒'), ('\u{FA22}', '諸'), ('\u{FA25}', '逸'), ('\u{FA26}', '都'), ('\u{FA2A}', '飯'),
    ('\u{FA2B}', '飼'), ('\u{FA2C}', '館'), ('\u{FA2D}', '鶴'), ('\u{FA2E}', '郞'), ('\u{FA2F}', '隷'),
    ('\u{FA30}', '侮'), ('\u{FA31}', '僧'), ('\u{FA32}', '免'), ('\u{FA33}', '勉'), ('\u{FA34}', '勤'),
    ('\u{FA35}', '卑'), ('\u{FA36}', '喝'), ('\u{FA37}', '嘆'), ('\u{FA38}', '器'), ('\u{FA39}', '塀'),
    ('\u{FA3A}', '墨'), ('\u{FA3B}', '層'), ('\u{FA3C}', '屮'), ('\u{FA3D}', '悔'), ('\u{FA3E}', '慨'),
    ('\u{FA3F}', '憎'), ('\u{FA40}', '懲'), ('\u{FA41}', '敏'), ('\u{FA42}', '既'), ('\u{FA43}', '暑'),
    ('\u{FA44}', '梅'), ('\u{FA45}', '海'), ('\u{FA46}', '渚'), ('\u{FA47}', '漢'), ('\u{FA48}', '煮'),
    ('\u{FA49}', '爫'), ('\u{FA4A}', '琢'), ('\u{FA4B}', '碑'), ('\u{FA4C}', '社'), ('\u{FA4D}', '祉'),
    ('\u{FA4E}', '祈'), ('\u{FA4F}', '祐'), ('\u{FA50}', '祖'), ('\u{FA51}', '祝'), ('\u{FA52}', '禍'),
    ('\u{FA53}', '禎'), ('\u{FA54}', '穀'), ('\u{FA55}', '突'), ('\u{FA56}', '節'), ('\u{FA57}', '練'),
    ('\u{FA58}', '縉'), ('\u{FA59}', '繁'), ('\u{FA5A}', '署'), ('\u{FA5B}', '者'), ('\u{FA5C}', '臭'),
    ('\u{FA5D}', '艹'), ('\u{FA5E}', '艹'), ('\u{FA5F}', '著'), ('\u{FA60}', '褐'), ('\u{FA61}', '視'),
    ('\u{FA62}', '謁'), ('\u{FA63}', '謹'), ('\u{FA64}', '賓'), ('\u{FA65}', '贈'), ('\u{FA66}', '辶'),
    ('\u{FA67}', '逸'), ('\u{FA68}', '難'), ('\u{FA69}', '響'), ('\u{FA6A}', '頻'), ('\u{FA6B}', '恵'),
    ('\u{FA6C}', '𤋮'), ('\u{FA6D}', '舘'),
];

/// The character by which a character is compared.
pub fn usual(c: char) -> char {
    // Kana and letters have no variants here, and are most of what is compared.
    if c < '\u{2E80}' {
        return c;
    }
    let c = COMPATIBILITY.iter().find(|(form, _)| *form == c).map_or(c, |(_, of)| *of);
    let set = SETS.iter().find(|set| set.contains(c));
    set.and_then(|set| set.chars().next()).unwrap_or(c)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_character_is_in_two_sets() {
        let mut seen = BTreeSet::new();
        for c in SETS.iter().flat_map(|set| set.chars()) {
            assert!(seen.insert(c), "{c} U+{:04X} is there twice", u32::from(c));
        }
        for (form, _) in COMPATIBILITY {
            assert!(seen.insert(*form), "{form} U+{:04X} is there twice", u32::from(*form));
        }
    }

    #[test]
    fn folding_twice_is_folding_once() {
        for c in SETS.iter().flat_map(|set| set.chars()).chain(COMPATIBILITY.iter().map(|(form, _)| *form)) {
            assert_eq!(usual(usual(c)), usual(c));
        }
    }

    #[test]
    fn common_variants_count_as_one_and_other_names_stay_others() {
        for (a, b) in [
            "髙高",
            "﨑崎",
            "德徳",
            "邉邊",
            "邊辺",
            "齋齊",
            "斎斉",
            "濵濱",
            "濱浜",
            "𠮷吉",
            "槗橋",
            "桒桑",
            "冨富",
            "嶋島",
            "嶌島",
            "澤沢",
            "廣広",
            "惠恵",
            "眞真",
            "\u{FA19}神",
        ]
        .iter()
        .filter_map(|pair| Some((pair.chars().next()?, pair.chars().nth(1)?)))
        {
            assert_eq!(usual(a), usual(b), "{a} {b}");
        }
        for (a, b) in [('坂', '阪'), ('畑', '畠'), ('裕', '祐'), ('子', '美'), ('一', '二')] {
            assert_ne!(usual(a), usual(b), "{a} {b}");
        }
    }
}
