//! Laws of search: what ranks is found, what is found ranks, whatever is written how.

use ids::OrgId;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;

const ORG: OrgId = OrgId(Uuid::from_u128(1));

fn contact(name: &str, email: &str) -> Document {
    Document::new(Kind::Contact, Uuid::from_u128(7), name)
        .with("email", Some(email))
        .with("company", Some("Wüstenrot & Co"))
}

fn asked(text: &str) -> Query {
    Query::parse(text).unwrap()
}

/// Whether one of the tiers finds the document, as the statement over the index does.
fn is_found(document: &Document, query: &Query) -> bool {
    let terms = of_document(ORG, document);
    let has = |wanted: &[i32]| wanted.iter().all(|term| terms.binary_search(term).is_ok());
    let any = |wanted: &[i32]| wanted.iter().any(|term| terms.binary_search(term).is_ok());
    let wanted = wanted(ORG, query);
    if query.id() == Some(document.id) {
        return true;
    }
    has(&[wanted.exact])
        || has(&wanted.whole)
        || has(&wanted.begins)
        || has(&wanted.inside)
        || !wanted.mistyped.is_empty() && wanted.mistyped.iter().all(|word| any(word))
}

fn best(document: &Document, text: &str) -> Option<(String, Reason)> {
    let query = asked(text);
    let found = rank(document, &query)?;
    assert!(is_found(document, &query), "{text} ranks and is not found");
    let place = found.places.first().unwrap();
    Some((place.field.clone(), place.reason))
}

#[test]
fn a_person_is_found_in_every_way_a_name_is_written() {
    let person = contact("Jürgen Müller-Lüdenscheidt", "jm@acme.io");
    let expected = [
        ("jurgen", "name", Reason::Word),
        ("JÜRGEN", "name", Reason::Word),
        ("Ju\u{308}rgen mu\u{308}ller", "name", Reason::Word),
        ("jürg", "name", Reason::Prefix),
        ("denscheid", "name", Reason::Partial),
        ("jurgne", "name", Reason::Similar),
        ("mulller", "name", Reason::Similar),
        ("muler", "name", Reason::Similar),
        ("jm@acme.io", "email", Reason::Exact),
        ("acme.io", "email", Reason::Word),
        ("acm", "email", Reason::Prefix),
        ("wustenrot", "company", Reason::Word),
        ("jurgen muller ludenscheidt", "name", Reason::Exact),
    ];
    for (text, field, reason) in expected {
        assert_eq!(best(&person, text), Some((field.to_owned(), reason)), "{text}");
    }
    for text in ["jurgen schmidt", "xurgexx", "me", "zz"] {
        assert_eq!(best(&person, text), None, "{text}");
    }
    let id = person.id.to_string();
    assert_eq!(best(&person, &id), Some(("id".to_owned(), Reason::Exact)));
}

#[test]
fn letters_that_do_not_decompose_have_a_plain_form() {
    assert_eq!(
        folded("Straße ŁÓDŹ Ærø İstanbul ﬁn ½"),
        "strasse lodz aero istanbul fin 12"
    );
    assert_eq!(folded("日本 Tokyo-2"), "日本 tokyo 2");
    assert_eq!(folded("…!?"), "");
}

#[test]
fn what_fits_better_comes_first() {
    let order = [
        contact("john", "x@y.io"),
        contact("john smith", "x@y.io"),
        contact("bob", "john@y.io"),
        contact("johnson", "x@y.io"),
        contact("bigjohn", "x@y.io"),
        contact("jon", "johm@y.io"),
    ];
    let scores: Vec<f64> = order
        .iter()
        .map(|document| rank(document, &asked("john")).unwrap().score)
        .collect();
    assert!(scores.is_sorted_by(|a, b| a > b), "{scores:?}");
    assert!(scores.iter().all(|score| (0.0..=1.0).contains(score)));
}

#[test]
fn excerpts_show_what_fits() {
    let body = format!("{} the Łódź office {}", "word ".repeat(100), "more ".repeat(100));
    let note = Document::new(Kind::Note, Uuid::from_u128(9), "plan").with("body", Some(&body));
    let found = rank(&note, &asked("lodz off")).unwrap();
    let place = &found.places[0];
    assert_eq!((place.field.as_str(), place.reason), ("body", Reason::Prefix));
    let shown: Vec<String> = place
        .ranges
        .iter()
        .map(|(from, to)| place.snippet.chars().skip(*from).take(to - from).collect())
        .collect();
    assert_eq!(shown, ["Łódź", "off"]);
    assert!(place.snippet.chars().count() <= 160);
}

#[test]
fn too_little_and_too_much_is_refused() {
    for text in ["", " ", "a", "!?", "a!"] {
        assert_eq!(Query::parse(text), Err(Refusal::TooShort), "{text}");
    }
    assert_eq!(Query::parse(&"ab ".repeat(67)), Err(Refusal::TooLong));
    assert!(Query::parse("日本").is_ok());
}

#[test]
fn terms_of_two_organizations_have_nothing_in_common() {
    let document = contact("Jane Doe", "jane@acme.io");
    let mine = of_document(ORG, &document);
    let theirs = of_document(OrgId(Uuid::from_u128(2)), &document);
    assert!(mine.iter().all(|term| theirs.binary_search(term).is_err()));
}

/// One edit: a letter less, more, other, or two exchanged.
fn edited(word: &str, kind: u8, at: usize, letter: char) -> String {
    let mut letters: Vec<char> = word.chars().collect();
    let at = at % letters.len();
    match kind % 4 {
        0 => drop(letters.remove(at)),
        1 => letters.insert(at, letter),
        2 => letters[at] = letter,
        _ => letters.swap(at, (at + 1) % word.chars().count().max(1)),
    }
    letters.into_iter().collect()
}

proptest! {
    #[test]
    fn whatever_ranks_is_found(
        name in "[a-cäéß ]{0,12}", email in "[a-c.]{1,8}@[a-c]{2,6}\\.io", text in "[a-cäé]{1,6}( [a-cäé]{1,6})?"
    ) {
        let document = contact(&name, &email);
        if let Ok(query) = Query::parse(&text)
            && rank(&document, &query).is_some()
        {
            prop_assert!(is_found(&document, &query));
        }
    }

    #[test]
    fn a_word_with_one_letter_wrong_finds_its_person(
        word in "[a-z]{5,12}", kind in 0_u8..3, at in 0_usize..12, letter in "[a-z]"
    ) {
        let document = contact(&format!("Ann {word}"), "x@y.io");
        let typed = edited(&word, kind, at, letter.chars().next().unwrap());
        let query = asked(&format!("{typed} ann"));
        prop_assert!(rank(&document, &query).is_some());
        prop_assert!(is_found(&document, &query));
        let swapped = edited(&word, 3, at % (word.len() - 1), 'x');
        prop_assert!(rank(&document, &asked(&swapped)).is_some());
    }

    #[test]
    fn any_text_can_be_searched_in_and_for(text in ".{0,300}", asked in ".{0,100}") {
        let document = Document::new(Kind::Note, Uuid::from_u128(3), &text).with("body", Some(&text));
        let terms = of_document(ORG, &document);
        prop_assert!(terms.is_sorted());
        if let Ok(query) = Query::parse(&asked) {
            let fits = rank(&document, &query);
            prop_assert!(fits.is_none() || is_found(&document, &query));
            for place in fits.into_iter().flat_map(|found| found.places) {
                let length = place.snippet.chars().count();
                prop_assert!(place.ranges.iter().all(|(from, to)| from < to && *to <= length));
            }
        }
    }
}
