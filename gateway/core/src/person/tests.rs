//! Two people are never joined, and one person is recognised behind variants and ●.

use super::*;
use proptest::prelude::*;

fn person(name: &str, kana: &str, birthdate: &str, sex: &str) -> Person {
    let part = |text: &str| (!text.is_empty()).then(|| Spelling::from(text));
    Person { name: part(name), name_kana: part(kana), birthdate: part(birthdate), sex: part(sex), address: None }
}

/// Somebody born on one and the same day, told by name and kana.
fn named(name: &str, kana: &str) -> Person {
    person(name, kana, "19800105", "2")
}

fn verdict(comparison: &Comparison) -> String {
    match comparison {
        Comparison::SamePerson { .. } => "same".into(),
        Comparison::DifferentPerson { because } => format!("different: {because:?}"),
        Comparison::Undecided { because } => format!("undecided: {because:?}"),
    }
}

fn compared(local: &Person, central: &Person) -> String {
    let (there, back) = (verdict(&compare(local, central)), verdict(&compare(central, local)));
    assert_eq!(there, back, "the verdict depends on which is which");
    there
}

#[test]
fn variants_width_and_spaces_make_no_other_person() {
    let names = [
        ("髙橋　惠子", "高橋 恵子"),
        ("山﨑 德子", "山崎　徳子"),
        ("渡邉 眞理", "渡辺真理"),
        ("齋藤 廣子", "斉藤 広子"),
        ("𠮷野 澤子", "吉野沢子"),
        ("葛\u{E0100}城 花", "葛城 花"),
        ("Ｓｍｉｔｈ　Ｊａｎｅ", "SMITH JANE"),
    ];
    for (local, central) in names {
        assert_eq!(compared(&named(local, ""), &named(central, "")), "same", "{local} {central}");
    }
}

#[test]
fn a_name_beyond_variants_is_left_to_kana_and_then_to_staff() {
    let local = named("坂本 裕子", "ｻｶﾓﾄ ﾋﾛｺ");
    assert_eq!(compared(&local, &named("阪本 裕子", "サカモト　ヒロコ")), "same");
    assert_eq!(compared(&local, &named("阪本 裕子", "")), "undecided: NameDiffers");
    assert_eq!(compared(&local, &named("坂本 明子", "ｻｶﾓﾄ ｱｷｺ")), "undecided: NameDiffers");
}

#[test]
fn the_same_characters_read_another_way_are_the_same_name() {
    assert_eq!(compared(&named("坂本 裕子", "ｻｶﾓﾄ ﾋﾛｺ"), &named("坂本 裕子", "ｻｶﾓﾄ ﾕｳｺ")), "same");
}

#[test]
fn twins_are_not_joined_by_an_unmapped_character() {
    let local = named("田中 祐子", "ﾀﾅｶ ﾕｳｺ");
    assert_eq!(compared(&local, &named("田中 ●子", "ﾀﾅｶ ﾕｳｺ")), "same");
    assert_eq!(compared(&local, &named("田中 ●子", "ﾀﾅｶ ｱｷｺ")), "undecided: KanaDiffers");
}

#[test]
fn an_unmapped_character_stands_for_exactly_one() {
    assert_eq!(compared(&named("髙橋 恵子", ""), &named("●橋 恵子", "")), "same");
    assert_eq!(compared(&named("小髙橋 恵子", ""), &named("●橋 恵子", "")), "undecided: NameDiffers");
}

#[test]
fn a_name_of_which_little_is_left_needs_its_kana() {
    let local = named("髙橋 恵子", "ﾀｶﾊｼ ｹｲｺ");
    for name in ["●●●●", "●●●子", "●●恵子"] {
        assert_eq!(compared(&local, &named(name, "")), "undecided: TooManyUnmapped", "{name}");
        assert_eq!(compared(&local, &named(name, "タカハシ　ケイコ")), "same", "{name}");
    }
}

#[test]
fn birth_date_and_sex_contradict_only_where_both_sides_know_them() {
    let local = person("山田 花", "ﾔﾏﾀﾞ ﾊﾅ", "19800105", "2");
    for (birthdate, sex, expected) in [
        ("19800105", "1", "different: Sex"),
        ("19800106", "2", "different: Birthdate"),
        ("昭和55年1月5日", "女", "same"),
        ("19800105", "3", "same"),
        ("19800105", "", "same"),
        ("", "2", "undecided: Birthdate"),
        ("19800100", "2", "undecided: Birthdate"),
        ("?", "2", "undecided: Birthdate"),
    ] {
        assert_eq!(compared(&local, &person("山田 花", "ﾔﾏﾀﾞ ﾊﾅ", birthdate, sex)), expected, "{birthdate} {sex}");
    }
}

#[test]
fn blank_parts_count_as_missing() {
    assert_eq!(compared(&named("山田 花", ""), &named("　 ", " ")), "undecided: NameMissing");
}

#[test]
fn differences_name_the_code_points_and_keep_both_spellings() {
    let local = Person {
        address: Some("東京都葛\u{E0100}飾区１－２".into()), ..named("髙橋　恵子", "ﾀｶﾊｼ ｹｲｺ")
    };
    let central = Person {
        address: Some("東京都葛飾区１丁目２".into()), ..named("●橋 恵子", "タカハシ ケイコ")
    };
    let Comparison::SamePerson { differences } = compare(&local, &central) else { panic!("one person") };
    let told: Vec<_> = differences
        .iter()
        .map(|d| (d.field, d.code_points.iter().map(CodePoints::render).collect::<Vec<_>>()))
        .collect();
    assert_eq!(told[0], (Field::Name, vec!["髙 U+9AD9 → ● U+25CF".to_owned()]));
    assert_eq!(told[1].0, Field::Address);
    assert_eq!(told[1].1[0], "葛\u{E0100} U+845B U+E0100 → 葛 U+845B");
    assert_eq!(told.len(), 2, "kana in another width are no difference");
    assert_eq!(differences[0].local.as_str(), "髙橋　恵子");
    assert_eq!(differences[0].central.as_str(), "●橋 恵子");
}

#[test]
fn a_character_too_many_is_shown_alone() {
    let local = named("山田 花", "ヤマダ ハナ");
    let Comparison::SamePerson { differences } = compare(&local, &named("山田 花子", "ﾔﾏﾀﾞ ﾊﾅ")) else {
        panic!("one person")
    };
    assert_eq!(differences[0].code_points.len(), 1);
    assert_eq!(differences[0].code_points[0].render(), "∅ → 子 U+5B50");
}

#[test]
fn nothing_about_a_person_is_ever_printed() {
    let local = Person { address: Some("東京都".into()), ..named("髙橋 恵子", "ﾀｶﾊｼ ｹｲｺ") };
    let central = named("●橋 恵子", "ﾀｶﾊｼ ｹｲｺ");
    let told = format!("{local:?} {:?}", compare(&local, &central));
    for part in ["髙", "橋", "ﾀｶﾊｼ", "1980", "東京", "9AD9", "●"] {
        assert!(!told.contains(part), "{told}");
    }
    assert!(told.contains("CodePoints(at 0, …)"), "{told}");
}

/// Names over an alphabet small enough that they often nearly agree.
fn a_name() -> impl Strategy<Value = String> {
    "[髙高橋﨑崎子田一二●　\u{E0100}ﾀﾞ]{0,6}"
}

fn a_person() -> impl Strategy<Value = Person> {
    let kana = "[ﾀｶﾞハは]{0,3}";
    let birthdate = prop_oneof![Just("19800105"), Just("19800106"), Just("S55.1.5"), Just("19800000"), Just("")];
    let sex = prop_oneof![Just("1"), Just("2"), Just("3"), Just("")];
    (a_name(), kana, birthdate, sex).prop_map(|(name, kana, birthdate, sex)| person(&name, &kana, birthdate, sex))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_verdict_does_not_depend_on_which_is_which(a in a_person(), b in a_person()) {
        compared(&a, &b);
    }

    #[test]
    fn two_people_with_different_birth_dates_are_never_the_same(a in a_person(), b in a_person()) {
        let date = |p: &Person| p.birthdate.as_ref().and_then(|text| CivilDate::parse(text.as_str()));
        let same = matches!(compare(&a, &b), Comparison::SamePerson { .. });
        if same {
            let (Some(ours), Some(theirs)) = (date(&a), date(&b)) else { panic!("the same without a birth date") };
            prop_assert!(ours.matches(&theirs) == DateMatch::Equal);
        }
    }

    #[test]
    fn a_copy_with_unmapped_characters_is_never_another_person(a in a_person(), lost in any::<u32>()) {
        let original = a.name.as_ref().map(|name| name.as_str().to_owned()).unwrap_or_default();
        let copied: String =
            original.chars().enumerate().map(|(at, c)| if lost >> at & 1 == 1 { UNMAPPED } else { c }).collect();
        let copy = Person { name: Some(copied.into()), ..a.clone() };
        let joined_or_looked_at = !matches!(compare(&a, &copy), Comparison::DifferentPerson { .. });
        prop_assert!(joined_or_looked_at);
    }

    #[test]
    fn a_whole_copy_with_a_birth_date_is_the_same_person(name in "[髙橋﨑子田一二]{1,6}", kana in "[ｱ-ﾝ]{1,6}", lost in any::<u32>()) {
        let copied: String =
            name.chars().enumerate().map(|(at, c)| if lost >> at & 1 == 1 { UNMAPPED } else { c }).collect();
        prop_assert_eq!(compared(&named(&name, &kana), &named(&copied, &kana)), "same");
    }
}
