//! Who was received, as far as it is known here, and whether an answer is about them.

use super::PersonMatch;
use crate::person::{CivilDate, Comparison, DateMatch, Person, Spelling, compare};

/// What is known here about the person who was received.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// What the patient's own papers, the receipt computer or a declaration say. A part that nobody has said is missing.
    pub person: Person,
    /// The birth date with which a reception by a document began.
    pub received: Option<Spelling>,
    /// Birth dates that were typed with further numbers. The answer to such numbers has the very same birth date, so that these show who
    /// it is not, and never who it is.
    pub typed: Vec<Spelling>,
}

impl Known {
    /// The person, with the birth date that the reception began with where no paper says one.
    pub fn local(&self) -> Person {
        let said = self.person.birthdate.as_ref().filter(|date| !date.is_blank());
        Person { birthdate: said.or(self.received.as_ref()).cloned(), ..self.person.clone() }
    }

    /// Whether every result of an answer is about this person: the one that needs most care speaks for all.
    pub fn matches<'a>(&self, results: impl IntoIterator<Item = &'a Person>) -> PersonMatch {
        let all = results.into_iter().map(|central| self.match_one(central));
        all.max_by_key(|matched| caution(*matched)).unwrap_or(PersonMatch::NothingToCompare)
    }

    fn match_one(&self, central: &Person) -> PersonMatch {
        let local = self.local();
        let dates = self.received.iter().chain(&self.typed);
        if dates.into_iter().any(|typed| contradicts(typed, central)) && !agrees_on_birthdate(&self.person, central) {
            return PersonMatch::DifferentPerson;
        }
        match compare(&local, central) {
            // Nothing is known here that could tell two people apart: this is no doubt, only silence.
            Comparison::Undecided { .. } if !self.says_who() => PersonMatch::NothingToCompare,
            comparison => PersonMatch::from(&comparison),
        }
    }

    /// Whether anything besides a typed birth date is known: a birth date alone makes nobody the same person.
    fn says_who(&self) -> bool {
        let Person { name, name_kana, birthdate, sex, address } = &self.person;
        [name, name_kana, birthdate, sex, address].into_iter().flatten().any(|part| !part.is_blank())
    }
}

fn parsed(date: Option<&Spelling>) -> Option<CivilDate> {
    date.and_then(|date| CivilDate::parse(date.as_str()))
}

fn contradicts(typed: &Spelling, central: &Person) -> bool {
    let dates = parsed(Some(typed)).zip(parsed(central.birthdate.as_ref()));
    dates.is_some_and(|(typed, theirs)| typed.matches(&theirs) == DateMatch::Different)
}

/// What a paper of the patient says outweighs what was typed to look somebody up.
fn agrees_on_birthdate(person: &Person, central: &Person) -> bool {
    let dates = parsed(person.birthdate.as_ref()).zip(parsed(central.birthdate.as_ref()));
    dates.is_some_and(|(ours, theirs)| ours.matches(&theirs) == DateMatch::Equal)
}

/// Of several results the one that needs most care speaks for all.
fn caution(matched: PersonMatch) -> u8 {
    match matched {
        PersonMatch::SamePerson => 0,
        PersonMatch::SameWithDifferences => 1,
        PersonMatch::NothingToCompare => 2,
        PersonMatch::Undecided => 3,
        PersonMatch::DifferentPerson => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn person(name: &str, kana: &str, birthdate: &str) -> Person {
        let part = |text: &str| (!text.is_empty()).then(|| text.into());
        Person { name: part(name), name_kana: part(kana), birthdate: part(birthdate), ..Person::default() }
    }

    fn known(person: Person, received: &str, typed: &[&str]) -> Known {
        let received = (!received.is_empty()).then(|| received.into());
        Known { person, received, typed: typed.iter().map(|date| Spelling::from(*date)).collect() }
    }

    #[test]
    fn a_document_says_who_somebody_is_not_and_with_a_name_who_they_are() {
        let central = person("●橋 恵子", "ﾀｶﾊｼ ｹｲｺ", "19800105");
        let nobody = Person::default();
        for (local, received, expected) in [
            (nobody.clone(), "", PersonMatch::NothingToCompare),
            (nobody.clone(), "19800105", PersonMatch::NothingToCompare),
            (nobody, "19800106", PersonMatch::DifferentPerson),
            (person("髙橋 恵子", "", ""), "19800105", PersonMatch::SameWithDifferences),
            (person("髙橋 恵子", "", ""), "19800106", PersonMatch::DifferentPerson),
            (person("髙橋 恵子", "", ""), "", PersonMatch::Undecided),
            (person("鈴木 恵子", "", ""), "19800105", PersonMatch::Undecided),
            (person("髙橋 恵子", "ﾀｶﾊｼ ﾕｳｺ", ""), "19800105", PersonMatch::Undecided),
        ] {
            assert_eq!(known(local.clone(), received, &[]).matches([&central]), expected, "{received}");
        }
    }

    #[test]
    fn a_birth_date_that_was_typed_to_look_somebody_up_makes_nobody_the_same() {
        // Somebody of the same name was looked up by their numbers and their birth date.
        let namesake = person("佐藤 花子", "", "19900301");
        let local = person("佐藤 花子", "", "");
        assert_eq!(known(local.clone(), "", &["19900301"]).matches([&namesake]), PersonMatch::Undecided);
        assert_eq!(known(local.clone(), "19800105", &["19900301"]).matches([&namesake]), PersonMatch::DifferentPerson);
        assert_eq!(known(local, "", &["19800105"]).matches([&namesake]), PersonMatch::DifferentPerson);
    }

    #[test]
    fn what_a_paper_says_outweighs_what_was_mistyped_to_look_somebody_up() {
        let right = person("佐藤 花子", "", "19800105");
        assert_eq!(known(right.clone(), "", &["19900301"]).matches([&right]), PersonMatch::SamePerson);
        let incomplete = person("佐藤 花子", "", "19800100");
        assert_eq!(known(incomplete, "", &["19900301"]).matches([&right]), PersonMatch::DifferentPerson);
    }

    #[test]
    fn of_several_results_the_one_that_needs_most_care_speaks_for_all() {
        let local = known(person("佐藤 花子", "", "19800105"), "", &[]);
        let (right, other) = (person("佐藤 花子", "", "19800105"), person("佐藤 花子", "", "19900301"));
        let unclear = person("佐藤 華", "", "19800105");
        assert_eq!(local.matches([&right, &right]), PersonMatch::SamePerson);
        assert_eq!(local.matches([&right, &unclear]), PersonMatch::Undecided);
        assert_eq!(local.matches([&right, &unclear, &other]), PersonMatch::DifferentPerson);
        assert_eq!(local.matches([]), PersonMatch::NothingToCompare);
    }

    proptest! {
        /// Whatever else is known, nobody with another birth date is the same.
        #[test]
        fn nobody_is_joined_over_a_birth_date_that_contradicts(
            name in "[髙高橋子●]{0,4}",
            theirs in "[髙高橋子●]{0,4}",
            said in prop_oneof![Just(""), Just("19800105")],
            received in prop_oneof![Just(""), Just("19800105")],
            typed in prop::collection::vec(prop_oneof![Just("19800105"), Just("19800106")], 0..3),
        ) {
            let matched = known(person(&name, "", said), received, &typed).matches([&person(&theirs, "", "19800106")]);
            let same = matches!(matched, PersonMatch::SamePerson | PersonMatch::SameWithDifferences);
            prop_assert!(!same);
            prop_assert!(said.is_empty() && received.is_empty() || matched == PersonMatch::DifferentPerson);
        }
    }
}
